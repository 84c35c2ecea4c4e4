/** The pictures as a list box: click or arrow keys and Enter choose one. */

import { byId, make, roving } from "./dom";
import type { Store } from "./store";

export function showGrid(store: Store): void {
  const grid = byId("grid");
  const cells = () => [...grid.children] as HTMLElement[];
  const columns = () => Math.max(1, getComputedStyle(grid).gridTemplateColumns.split(" ").length);
  roving(grid, cells, columns);
  grid.addEventListener("click", (event) => {
    const index = cells().indexOf((event.target as Element).closest<HTMLElement>("[role=option]")!);
    if (index >= 0) store.select(index);
  });
  grid.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const index = cells().indexOf(document.activeElement as HTMLElement);
    if (index >= 0) store.select(index);
  });
  store.onChange(() => {
    while (grid.children.length > store.pictures.length) grid.lastElementChild!.remove();
    for (let i = grid.children.length; i < store.pictures.length; i++) {
      const { name, thumbnail } = store.pictures[i];
      const cell = make("div", { role: "option", class: "cell", tabindex: -1, title: name, "aria-label": name, parent: grid });
      make("img", { src: thumbnail, alt: "", draggable: false, parent: cell });
    }
    cells().forEach((cell, i) => {
      cell.setAttribute("aria-selected", String(i === store.selected));
      cell.tabIndex = i === store.selected ? 0 : -1;
    });
    byId("count").textContent = store.pictures.length ? String(store.pictures.length) : "";
  });
}

/** The thumbnail that the grid shows. */
export const imageOf = (index: number): HTMLImageElement => byId("grid").children[index].firstElementChild as HTMLImageElement;

/** A picture that is chosen by a click on it. */
export function pick(store: Store, index: number, parent: Element, note = ""): HTMLButtonElement {
  const { name, thumbnail } = store.pictures[index];
  const button = make("button", { type: "button", class: "pick", title: name, parent });
  make("img", { src: thumbnail, alt: name, parent: button });
  if (note) make("span", { text: note, parent: button });
  button.addEventListener("click", () => store.select(index));
  return button;
}
