/** Files, folders and drops to pictures with vectors; what cannot be read is named with its reason, and the rest goes on. */

import type { Engine } from "./engine";
import type { Vectors } from "./model";
import { readPicture, type Picture } from "./pictures";
import type { Store } from "./store";

export const MAX_PICTURES = 5000;
const BATCH = 32;

export interface Named {
  name: string;
  /** A promise of what may turn out not to be readable. */
  file: Blob | Promise<Blob>;
}
export interface Problem {
  name: string;
  reason: string;
}

/** Adds pictures to the store. Returns those that could not be read. progress: told after each how many are done. */
export async function takeIn(store: Store, files: Named[], progress: (done: number) => void): Promise<Problem[]> {
  const problems: Problem[] = [];
  let batch: Picture[] = [];
  const room = Math.max(0, MAX_PICTURES - store.pictures.length);
  if (files.length > room) problems.push({ name: `${files.length - room} pictures`, reason: `this page holds ${MAX_PICTURES}` });
  const flush = async () => {
    if (batch.length) await embedAll(store, batch);
    batch = [];
  };
  for (const [done, { name, file }] of files.slice(0, room).entries()) {
    try {
      const picture = await readPicture(await file, name, store.form);
      // Pictures of one size share a run.
      if (batch.length === BATCH || (batch.length && (batch[0].w !== picture.w || batch[0].h !== picture.h))) await flush();
      batch.push(picture);
    } catch (error) {
      problems.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
    progress(done + 1);
  }
  await flush();
  return problems;
}

async function embedAll(store: Store, batch: Picture[]): Promise<void> {
  const { z, features } = await embedBatch(store.engine, batch);
  const row = (flat: Float32Array, i: number) => flat.slice((i * flat.length) / batch.length, ((i + 1) * flat.length) / batch.length);
  batch.forEach((picture, i) => store.add(picture, { z: row(z, i), features: features && row(features, i) }));
}

function embedBatch(engine: Engine, batch: Picture[]): Promise<Vectors> {
  const { w, h } = batch[0];
  const pixels = new Uint8Array(batch.length * w * h * 3);
  batch.forEach((picture, i) => pixels.set(picture.pixels!, i * w * h * 3));
  return engine.embed(pixels, [batch.length, h, w, 3]);
}

/** The files of an <input>, in the order of their names; of a folder only what may be a picture. */
export function ofInput(list: FileList, folder: boolean): Named[] {
  const files = [...list].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
  return sorted(folder ? files.filter(({ file }) => file.type.startsWith("image/")) : files);
}

/** Everything of a drop, folders with all that is in them. */
export async function ofDrop(items: DataTransferItemList): Promise<Named[]> {
  // All at once: the list is empty when the event is over. What was dragged out of another page has no entry, only a file.
  const dropped = [...items].filter((item) => item.kind === "file").map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found: Named[] = [];
  const walk = async (entry: FileSystemEntry, inFolder: boolean): Promise<void> => {
    const name = entry.fullPath.replace(/^\//, "");
    if (entry.isFile) {
      const file = new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      const type = await file.then(({ type }) => type).catch(() => null);
      if (!inFolder || type === null || type.startsWith("image/")) found.push({ name, file });
      return;
    }
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      // A reader gives a hundred at a time, then none.
      const some = new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      const children = await some.catch(() => null);
      if (children === null) found.push({ name, file: some as Promise<never> });
      if (!children?.length) return;
      for (const child of children) await walk(child, true);
    }
  };
  for (const { entry, file } of dropped) {
    if (entry) await walk(entry, false);
    else if (file) found.push({ name: file.name, file });
  }
  return sorted(found);
}

const sorted = (files: Named[]): Named[] => files.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
