/** Views that draw with the decoder: a change along a direction, and a walk between two pictures. */

import { lerp, slerp } from "./diffusion";
import { make, plate, slider } from "./dom";
import { pick } from "./grid";
import { nameOf } from "./model";
import { paint } from "./pictures";
import type { Store } from "./store";
import type { View } from "./views";

const REACH = 3;
const FRAMES = 25;

/** Runs the newest of the calls that come while one is running, and forgets those between. */
function latest(work: () => Promise<void>, failed: (message: string) => void): () => void {
  let running = false;
  let again = false;
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await work();
    } catch (error) {
      failed(error instanceof Error ? error.message : String(error));
    }
    running = false;
    if (again) {
      again = false;
      void run();
    }
  };
  return () => void run();
}

function withoutDecoder(panel: HTMLElement, what: string): () => void {
  make("p", { class: "none", text: `This model came without its decoder (denoiser.onnx), so pictures cannot be ${what} here.`, parent: panel });
  return () => undefined;
}

export const changeView: View = (panel, store) => {
  const about = store.facts.denoiser;
  if (!about) return withoutDecoder(panel, "changed");
  if (!about.directions.length) {
    make("p", { class: "none", text: "No directions were found for this model yet; “soda attributes” finds them.", parent: panel });
    return () => undefined;
  }
  const plates = make("div", { class: "plates", parent: panel });
  const original = plate(plates, "Original");
  const changed = plate(plates, "Changed");
  const row = make("label", { class: "slider", parent: panel });
  make("span", { text: "Direction", parent: row });
  const choice = make("select", { parent: row });
  about.directions.forEach((direction, i) => make("option", { value: i, text: nameOf(direction), parent: choice }));
  const amount = slider(panel, "How far", -REACH, REACH, 0.1, 0);
  const value = make("output", { text: "0", parent: amount.parentElement! });
  const status = make("p", { class: "small", role: "status", parent: panel });
  const draw = latest(async () => {
    const { selected, pictures, vectors } = store;
    if (!pictures.length) return;
    const at = Number(amount.value);
    const { vector } = about.directions[Number(choice.value)];
    const noise = await store.noise(selected);
    const z = vectors[selected].map((each, i) => each + at * vector[i]);
    const drawn = await store.engine.sample(z, noise);
    if (pictures !== store.pictures || selected !== store.selected) return;
    paint(changed.canvas, drawn, store.form);
    changed.canvas.dataset.amount = String(at);
    status.textContent = "In standard deviations over the training pictures. At 0 the decoder draws the picture itself again.";
  }, (message) => (status.textContent = message));
  amount.addEventListener("input", () => {
    value.textContent = Number(amount.value).toFixed(1).replace("-", "−");
    draw();
  });
  choice.addEventListener("change", draw);
  return () => {
    const { selected, pictures } = store;
    if (pictures.length) {
      paint(original.canvas, pictures[selected].square, store.form); // at once: a drawing of the picture before may be under way
      original.canvas.dataset.picture = String(selected);
    }
    draw();
  };
};

/** The frames of a walk, FRAMES pictures flat: z in a straight line, the noise on the sphere, drawn in one batch. */
async function frames(store: Store, from: number, to: number): Promise<Float32Array[]> {
  const [a, b] = [await store.noise(from), await store.noise(to)];
  const at = Array.from({ length: FRAMES }, (_, i) => i / (FRAMES - 1));
  const z = flat(at.map((share) => lerp(store.vectors[from], store.vectors[to], share)));
  const drawn = await store.engine.sample(z, flat(at.map((share) => slerp(a, b, share))));
  return at.map((_, i) => drawn.slice(i * a.length, (i + 1) * a.length));
}

function flat(parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.length * parts[0].length);
  parts.forEach((part, i) => out.set(part, i * part.length));
  return out;
}

export const walkView: View = (panel, store) => {
  if (!store.facts.denoiser) return withoutDecoder(panel, "walked between");
  const words = make("p", { class: "small", text: "From the picture chosen before to the one chosen last: choose another to walk on.", parent: panel });
  const stage = make("div", { class: "plates", parent: panel });
  const start = make("div", { class: "end", parent: stage });
  const middle = plate(stage, "Between");
  const end = make("div", { class: "end", parent: stage });
  const at = slider(panel, "Where", 0, FRAMES - 1, 1, 0);
  const buttons = make("p", { class: "buttons", parent: panel });
  const play = make("button", { type: "button", class: "main", text: "Walk", "aria-pressed": false, parent: buttons });
  const strip = make("div", { class: "strip", "aria-hidden": true, parent: panel });
  const status = make("p", { class: "small", role: "status", parent: panel });
  let shown: { key: string; frames: Float32Array[] } = { key: "", frames: [] };
  let timer = 0;
  const show = () => {
    const frame = shown.frames[Number(at.value)];
    if (!frame) return;
    paint(middle.canvas, frame, store.form);
    middle.canvas.dataset.frame = at.value;
  };
  const stop = () => {
    window.clearInterval(timer);
    timer = 0;
    play.textContent = "Walk";
    play.setAttribute("aria-pressed", "false");
  };
  const draw = latest(async () => {
    const to = store.selected;
    const from = store.previous ?? (to === 0 ? 1 : 0);
    const enough = store.pictures.length > 1;
    for (const element of [stage, at.parentElement!, buttons, strip]) element.hidden = !enough;
    words.hidden = !enough;
    status.textContent = enough ? "" : "A walk needs two pictures.";
    if (!enough) return stop();
    const key = `${store.pictures[from].thumbnail}|${store.pictures[to].thumbnail}`;
    if (key === shown.key) return;
    stop();
    start.replaceChildren();
    end.replaceChildren();
    pick(store, from, start, "From");
    pick(store, to, end, "To");
    status.textContent = "Drawing …";
    shown = { key, frames: await frames(store, from, to) };
    status.textContent = "";
    strip.replaceChildren();
    for (let i = 0; i < FRAMES; i += 3) paint(make("canvas", { parent: strip }), shown.frames[i], store.form);
    show();
  }, (message) => (status.textContent = message));
  at.addEventListener("input", show);
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "Stop";
    play.setAttribute("aria-pressed", "true");
    let step = Number(at.value) < FRAMES - 1 ? 1 : -1;
    timer = window.setInterval(() => {
      if (Number(at.value) + step > FRAMES - 1 || Number(at.value) + step < 0) step = -step;
      at.value = String(Number(at.value) + step);
      show();
    }, 80);
  });
  return draw;
};
