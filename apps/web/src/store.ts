/** What the page knows: the pictures, their vectors, which are chosen. Views ask it and are told of changes. */

import type { Engine } from "./engine";
import type { ModelFacts } from "./model";
import type { Form, Picture } from "./pictures";
import { unit } from "./vectors";

export class Store {
  pictures: Picture[] = [];
  vectors: Float32Array[] = [];
  /** Vectors brought to mean 0 and deviation 1 of the training pictures, then to unit length: in these neighbours are looked for. */
  units: Float32Array[] = [];
  /** The picture that all views are about, and the one before it, to which walks lead. */
  selected = 0;
  previous: number | null = null;
  /** Another number whenever pictures came or went. */
  version = 0;
  private listeners: (() => void)[] = [];
  private noises = new WeakMap<Picture, Promise<Float32Array>>();

  constructor(
    readonly facts: ModelFacts,
    readonly engine: Engine,
  ) {}

  get form(): Form {
    const { image_size: size, channels, resize } = this.facts.encoder;
    return { size, channels, resize };
  }

  add(picture: Picture, z: Float32Array): void {
    picture.pixels = null;
    this.pictures.push(picture);
    this.vectors.push(z);
    const { z_mean: mean, z_std: std } = this.facts.encoder;
    this.units.push(unit(z.map((value, i) => (value - mean[i]) / std[i])));
    this.version++;
  }

  select(index: number): void {
    if (index === this.selected) return;
    this.previous = this.selected;
    this.selected = index;
    this.changed();
  }

  clear(): void {
    this.pictures = [];
    this.vectors = [];
    this.units = [];
    this.selected = 0;
    this.previous = null;
    this.version++;
    this.changed();
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  changed(): void {
    this.listeners.forEach((listener) => listener());
  }

  /** The noise from which this picture is drawn exactly; found once. */
  noise(index: number): Promise<Float32Array> {
    const picture = this.pictures[index];
    let noise = this.noises.get(picture);
    if (!noise) {
      noise = this.engine.invert(this.vectors[index], picture.square);
      noise.catch(() => this.noises.delete(picture));
      this.noises.set(picture, noise);
    }
    return noise;
  }
}
