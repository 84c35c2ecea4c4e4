/** What the page knows: the pictures, their vectors, which are chosen. Views ask it and are told of changes. */

import type { Engine } from "./engine";
import type { Kind, ModelFacts, Vectors } from "./model";
import type { Form, Picture } from "./pictures";
import { unit } from "./vectors";

export class Store {
  pictures: Picture[] = [];
  /** z of each, which the decoder draws from. */
  vectors: Float32Array[] = [];
  features: Float32Array[] = [];
  /** What pictures are compared by. */
  kind: Kind;
  /** Its vectors brought to mean 0 and deviation 1 of the training pictures, then to unit length: in these neighbours are looked for. */
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
  ) {
    this.kind = facts.encoder.features ? facts.encoder.search_vectors : "z";
  }

  get form(): Form {
    const { image_size: size, channels, resize } = this.facts.encoder;
    return { size, channels, resize };
  }

  add(picture: Picture, { z, features }: Vectors): void {
    picture.pixels = null;
    this.pictures.push(picture);
    this.vectors.push(z);
    if (features) this.features.push(features);
    this.units.push(this.unit(this.pictures.length - 1));
    this.version++;
  }

  /** The vectors that pictures are compared by, as the encoder gives them. */
  get compared(): Float32Array[] {
    return this.kind === "features" ? this.features : this.vectors;
  }

  compareBy(kind: Kind): void {
    this.kind = kind;
    this.units = this.pictures.map((_, i) => this.unit(i));
    this.version++;
    this.changed();
  }

  private unit(index: number): Float32Array {
    const { z_mean, z_std, features } = this.facts.encoder;
    const { mean, std } = this.kind === "features" ? features! : { mean: z_mean, std: z_std };
    return unit(this.compared[index].map((value, i) => (value - mean[i]) / std[i]));
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
    this.features = [];
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
