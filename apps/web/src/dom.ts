/** Small helpers for elements; text is always set as text. */

type Options = Partial<{ class: string; text: string; parent: Element }> & Record<string, unknown>;

/** Makes an element; what is not class, text or parent becomes an attribute. */
export function make<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, options: Options = {}): HTMLElementTagNameMap[Tag] {
  const { class: name, text, parent, ...attributes } = options;
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  parent?.append(element);
  return element;
}

/** The element with this id, which index.html has. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** A labelled slider. */
export function slider(parent: Element, label: string, min: number, max: number, step: number, value: number): HTMLInputElement {
  const row = make("label", { class: "slider", parent });
  make("span", { text: label, parent: row });
  return make("input", { type: "range", min, max, step, value, parent: row });
}

/** A picture with a caption under it. */
export function plate(parent: Element, caption: string): { canvas: HTMLCanvasElement; caption: HTMLElement } {
  const figure = make("figure", { class: "plate", parent });
  const canvas = make("canvas", { width: 1, height: 1, role: "img", "aria-label": caption, parent: figure });
  return { canvas, caption: make("figcaption", { text: caption, parent: figure }) };
}

/** Arrow keys, Home and End move between the elements of a list of which one at a time can be reached by Tab. */
export function roving(container: Element, items: () => HTMLElement[], columns: () => number): void {
  container.addEventListener("keydown", (event) => {
    const { key } = event as KeyboardEvent;
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
    const to = key === "Home" ? 0 : key === "End" ? all.length - 1 : at + (steps[key] ?? 0);
    if (to === at || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  });
}
