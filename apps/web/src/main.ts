/** Wires the page: loads the model, takes pictures in, shows one view at a time. */

import { byId, make, roving } from "./dom";
import { changeView, walkView } from "./drawing";
import { Engine } from "./engine";
import { showGrid } from "./grid";
import { ofDrop, ofInput, takeIn, type Named, type Problem } from "./intake";
import { fetchFacts, MODEL_BASE, type Kind } from "./model";
import { Store } from "./store";
import { mapView, nearView, sameView, type View } from "./views";

const VIEWS: Record<string, View> = { near: nearView, map: mapView, same: sameView, change: changeView, walk: walkView };

function say(text: string, kind: "" | "ready" | "bad" = ""): void {
  const status = byId("status");
  status.textContent = text;
  status.className = `status ${kind}`;
}

async function start(): Promise<void> {
  const began = performance.now();
  const facts = await fetchFacts();
  const engine = new Engine();
  const store = new Store(facts, engine);
  await engine.load(facts, MODEL_BASE);
  const { latent_dim: numbers, image_size: size } = facts.encoder;
  byId("lead").textContent = `An encoder turns each picture into ${numbers} numbers; a decoder draws pictures from them. Both run in this page.`;
  say(`${facts.name} is ready: it was trained on ${facts.encoder.dataset || "pictures"} of ${size} px (${((performance.now() - began) / 1000).toFixed(1)} s).`, "ready");
  showGrid(store);
  showKinds(store);
  showViews(store);
  takePictures(store);
}

/** A choice of what pictures are compared by, where the encoder gives two kinds of vectors. */
function showKinds(store: Store): void {
  const { latent_dim: numbers, features } = store.facts.encoder;
  if (!features) return;
  const choice = byId<HTMLSelectElement>("kind");
  make("option", { value: "z", text: `z, ${numbers} numbers`, parent: choice });
  make("option", { value: "features", text: `features before z, ${features.mean.length} numbers`, parent: choice });
  choice.value = store.kind;
  choice.addEventListener("change", () => store.compareBy(choice.value as Kind));
  byId("kinds").hidden = false;
}

function showViews(store: Store): void {
  const tabs = Object.keys(VIEWS).map((name) => byId(`tab-${name}`));
  const redraw = Object.fromEntries(Object.entries(VIEWS).map(([name, view]) => [name, view(byId(name), store)]));
  let current = "near";
  const show = (name: string) => {
    current = name;
    for (const tab of tabs) {
      const chosen = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      byId(tab.getAttribute("aria-controls")!).hidden = !chosen;
    }
    redraw[name]();
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => show(tab.getAttribute("aria-controls")!));
    tab.addEventListener("focus", () => tab.matches(":focus-visible") && show(tab.getAttribute("aria-controls")!));
  }
  roving(tabs[0].parentElement!, () => tabs, () => 1);
  store.onChange(() => {
    byId("views").hidden = byId("tools").hidden = !store.pictures.length;
    byId("examples").hidden = !store.facts.examples.length || store.pictures.length > 0;
    redraw[current]();
  });
  show(current);
}

function takePictures(store: Store): void {
  const progress = byId<HTMLProgressElement>("progress");
  let busy = Promise.resolve();
  const take = (files: Promise<Named[]> | Named[]) => {
    busy = busy.then(async () => {
      const named = await files;
      if (!named.length) return showProblems([{ name: "Nothing", reason: "there was no picture among these files" }]);
      progress.hidden = false;
      progress.max = named.length;
      const problems = await takeIn(store, named, (done) => (progress.value = done));
      progress.hidden = true;
      showProblems(problems);
      store.changed();
    }).catch((error: unknown) => {
      progress.hidden = true;
      say(error instanceof Error ? error.message : String(error), "bad");
    });
  };
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    const field = byId<HTMLInputElement>(input);
    byId(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      if (field.files?.length) take(ofInput(field.files, input === "folder"));
      field.value = "";
    });
    byId<HTMLButtonElement>(button).disabled = false;
  }
  const examples = byId<HTMLButtonElement>("examples");
  examples.hidden = !store.facts.examples.length;
  examples.disabled = false;
  examples.addEventListener("click", () => take(fetchExamples(store.facts.examples)));
  takeDrops((items) => take(ofDrop(items)));
  byId("clear").addEventListener("click", () => {
    showProblems([]);
    store.clear();
  });
  byId("save").addEventListener("click", () => saveVectors(store));
}

function takeDrops(take: (items: DataTransferItemList) => void): void {
  const drop = byId("drop");
  const over = (on: boolean) => (event: DragEvent) => {
    event.preventDefault();
    drop.classList.toggle("over", on);
  };
  // Anywhere on the page: a picture that misses would else replace the page.
  document.addEventListener("dragover", over(true));
  document.addEventListener("dragleave", over(false));
  document.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer) take(event.dataTransfer.items);
  });
}

async function fetchExamples(paths: string[]): Promise<Named[]> {
  return Promise.all(
    paths.map(async (path) => {
      const answer = await fetch(new URL(path, MODEL_BASE));
      if (!answer.ok) throw new Error(`${path} could not be loaded (status ${answer.status})`);
      return { name: path.split("/").pop()!, file: await answer.blob() };
    }),
  );
}

function showProblems(problems: Problem[]): void {
  const details = byId<HTMLDetailsElement>("problems");
  details.hidden = !problems.length;
  details.open = problems.length > 0 && problems.length < 6;
  const title = problems.length === 1 ? "One file was left out" : `${problems.length} files were left out`;
  details.querySelector("summary")!.textContent = title;
  details.querySelector("ul")!.replaceChildren(...problems.slice(0, 200).map(({ name, reason }) => make("li", { text: `${name}: ${reason}` })));
}

function saveVectors(store: Store): void {
  const features = (i: number) => (store.features.length ? { features: [...store.features[i]] } : {});
  const rows = store.pictures.map(({ name }, i) => ({ file: name, z: [...store.vectors[i]], ...features(i) }));
  const link = make("a", { download: "vectors.json" });
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ model: store.facts.name, pictures: rows })], { type: "application/json" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

start().catch((error: unknown) => say(error instanceof Error ? error.message : String(error), "bad"));
