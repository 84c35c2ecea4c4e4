/** Views that need the encoder alone: neighbours, map, duplicates. Each redraws itself when it is seen and something changed. */

import { make, slider } from "./dom";
import { imageOf, pick } from "./grid";
import type { Store } from "./store";
import { closePairs, groupsOf, neighbours, principalPlane, type Pair, type Plane } from "./vectors";

export type View = (panel: HTMLElement, store: Store) => () => void;

const LEAST_ALIKE = 0.9;

export const nearView: View = (panel, store) => () => {
  panel.replaceChildren();
  if (store.pictures.length < 2) {
    make("p", { class: "none", text: "Neighbours need two pictures or more.", parent: panel });
    return;
  }
  const chosen = store.pictures[store.selected];
  const row = make("div", { class: "chosen", parent: panel });
  make("img", { src: chosen.thumbnail, alt: "", parent: row });
  const words = make("div", { parent: row });
  make("h3", { text: chosen.name, parent: words });
  make("p", { class: "small", text: `${chosen.width} × ${chosen.height} px. Nearest first, by the cosine of their vectors:`, parent: words });
  const list = make("div", { class: "picks", parent: panel });
  for (const { index, cosine } of neighbours(store.units, store.selected, 18)) pick(store, index, list, cosine.toFixed(3));
};

export const sameView: View = (panel, store) => {
  const least = slider(panel, "How alike", LEAST_ALIKE, 1, 0.001, 0.99);
  let pairs: Pair[] = [];
  let pairsOf = 0;
  const value = make("output", { parent: least.parentElement! });
  const groups = make("div", { parent: panel });
  const draw = () => {
    const at = Number(least.value);
    value.textContent = at.toFixed(3);
    if (pairsOf !== store.version) pairs = closePairs(store.units, LEAST_ALIKE);
    pairsOf = store.version;
    const found = groupsOf(store.units.length, pairs, at);
    groups.replaceChildren();
    const count = found.reduce((sum, group) => sum + group.length, 0);
    const text = found.length
      ? `${count} pictures in ${found.length} ${found.length === 1 ? "group" : "groups"} whose vectors have a cosine of ${at.toFixed(3)} or more.`
      : `No two pictures have a cosine of ${at.toFixed(3)} or more.`;
    make("p", { class: "small", role: "status", text, parent: groups });
    for (const group of found.slice(0, 100)) {
      const list = make("div", { class: "picks group", parent: groups });
      for (const index of group) pick(store, index, list);
    }
  };
  least.addEventListener("input", draw);
  return draw;
};

export const mapView: View = (panel, store) => {
  const words = make("p", { class: "small", parent: panel });
  const canvas = make("canvas", { class: "map", role: "img", parent: panel });
  const caption = make("p", { class: "small", role: "status", parent: panel });
  let plane: Plane = { points: [], shares: [0, 0] };
  let shownFor = 0;
  const side = () => (store.pictures.length > 400 ? 18 : store.pictures.length > 60 ? 30 : 44);
  const place = ([x, y]: [number, number]): [number, number] => {
    const { clientWidth: width, clientHeight: height } = canvas;
    const room = Math.min(width, height) - side() - 8;
    return [width / 2 + (x - 0.5) * room * (width / Math.min(width, height)), height / 2 - (y - 0.5) * room];
  };
  const nearest = (event: PointerEvent): number => {
    let best = -1;
    let least = 40;
    plane.points.forEach((point, i) => {
      const [x, y] = place(point);
      const distance = Math.hypot(x - event.offsetX, y - event.offsetY);
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  };
  let waiting = false;
  // Pictures that are not decoded yet come with the next frame, all of them together.
  const soon = () => {
    if (!waiting) requestAnimationFrame(() => draw());
    waiting = true;
  };
  const draw = () => {
    waiting = false;
    const few = store.pictures.length < 3;
    canvas.hidden = few;
    words.textContent = few ? "A map needs three pictures or more." : "";
    caption.textContent = "";
    if (few) return;
    if (shownFor !== store.version) plane = principalPlane(store.compared);
    shownFor = store.version;
    const [a, b] = plane.shares.map((share) => `${(100 * share).toFixed(0)} %`);
    words.textContent = `The two directions in which these pictures differ most: ${a} of the variance from left to right, ${b} upwards.`;
    canvas.setAttribute("aria-label", `Map of ${store.pictures.length} pictures; the list above chooses them, too`);
    caption.textContent = store.pictures[store.selected].name;
    const scale = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const context = canvas.getContext("2d")!;
    context.scale(scale, scale);
    context.imageSmoothingEnabled = false;
    const style = getComputedStyle(canvas);
    const size = side();
    const paint = (i: number) => {
      const image = imageOf(i);
      if (!image.complete) return soon();
      const [x, y] = place(plane.points[i]);
      if (i === store.selected) {
        context.fillStyle = style.getPropertyValue("--accent");
        context.fillRect(x - size / 2 - 4, y - size / 2 - 4, size + 8, size + 8);
      }
      context.drawImage(image, x - size / 2, y - size / 2, size, size);
    };
    store.pictures.forEach((_, i) => i !== store.selected && paint(i));
    paint(store.selected);
  };
  canvas.addEventListener("pointermove", (event) => {
    const index = nearest(event);
    canvas.style.cursor = index < 0 ? "default" : "pointer";
    caption.textContent = store.pictures[index < 0 ? store.selected : index]?.name ?? "";
  });
  canvas.addEventListener("click", (event) => {
    const index = nearest(event as PointerEvent);
    if (index >= 0) store.select(index);
  });
  new ResizeObserver(() => canvas.clientWidth && draw()).observe(canvas);
  return draw;
};
