/** The page's end of the worker: each call is a promise. */

import type { ModelFacts, Vectors } from "./model";
import type { Calls } from "./worker";

export interface Call {
  id: number;
  name: keyof Calls;
  argument: unknown;
}
export type Answer = { id: number; value: unknown; error?: undefined } | { id: number; error: string };

export class Engine {
  private worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  private count = 0;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      const call = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error === undefined) call?.resolve(data.value as never);
      else call?.reject(new Error(data.error));
    };
    this.worker.onerror = (event) => {
      for (const call of this.waiting.values()) call.reject(new Error(event.message || "the model's thread could not be started"));
      this.waiting.clear();
    };
  }

  private call<Name extends keyof Calls>(name: Name, argument: Parameters<Calls[Name]>[0]): ReturnType<Calls[Name]> {
    const id = ++this.count;
    this.worker.postMessage({ id, name, argument } satisfies Call);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject })) as ReturnType<Calls[Name]>;
  }

  /** Fetches and opens the encoder; the denoiser follows when it is first needed. */
  load(facts: ModelFacts, base: URL): Promise<null> {
    return this.call("load", { facts, base: base.href });
  }

  /** N pictures of one size, RGB bytes (N, H, W, 3) flat -> z (N, D) flat, and the features (N, F). */
  embed(pixels: Uint8Array, shape: [number, number, number, number]): Promise<Vectors> {
    return this.call("embed", { pixels, shape });
  }

  /** z (N, D) and noise (N, C, S, S), flat -> pictures in [-1, 1]. */
  sample(z: Float32Array, x_T: Float32Array): Promise<Float32Array> {
    return this.call("sample", { z, x_T });
  }

  /** The noise from which `sample` draws these very pictures. */
  invert(z: Float32Array, x_0: Float32Array): Promise<Float32Array> {
    return this.call("invert", { z, x_0 });
  }
}
