/** The two ONNX sessions, in a thread of their own, so that the page stays quick while they work. */

import * as ort from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

import { invert, sample, type Denoise } from "./diffusion";
import type { Answer, Call } from "./engine";
import type { ModelFacts, Vectors } from "./model";

// Served beside the page. One thread: several need headers that plain web space cannot set.
ort.env.wasm.wasmPaths = { wasm: new URL(wasm, self.location.href).href };
ort.env.wasm.numThreads = 1;

let facts: ModelFacts;
let base: string;
let encoder: ort.InferenceSession;
let denoiser: Promise<ort.InferenceSession> | null = null;

async function open(file: string): Promise<ort.InferenceSession> {
  const answer = await fetch(new URL(file, base));
  if (!answer.ok) throw new Error(`${file} could not be loaded (status ${answer.status})`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  try {
    return await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Error(`${file} is not a model that can be run here: ${error instanceof Error ? error.message : error}`);
  }
}

async function load(call: { facts: ModelFacts; base: string }): Promise<null> {
  ({ facts, base } = call);
  encoder = await open(facts.encoder.file);
  const { image_size: size } = facts.encoder;
  await embed({ pixels: new Uint8Array(size * size * 3), shape: [1, size, size, 3] }); // the first run is slow
  return null;
}

async function embed(call: { pixels: Uint8Array; shape: number[] }): Promise<Vectors> {
  const { z, features } = await encoder.run({ images: new ort.Tensor("uint8", call.pixels, call.shape) });
  return { z: z.data as Float32Array, features: facts.encoder.features ? (features.data as Float32Array) : null };
}

/** A denoiser bound to z, (N, D) flat. Its session is made when it is first needed. */
async function bind(z: Float32Array): Promise<Denoise> {
  const about = facts.denoiser;
  if (!about) throw new Error("this model has no denoiser.onnx, so it cannot draw");
  denoiser ??= open(about.file);
  const session = await denoiser;
  const n = z.length / about.latent_dim;
  const { channels, image_size: size } = about;
  return async (x_t, t) => {
    const { x_0, eps } = await session.run({
      x_t: new ort.Tensor("float32", x_t, [n, channels, size, size]),
      t: new ort.Tensor("int64", new BigInt64Array(n).fill(BigInt(t)), [n]),
      z: new ort.Tensor("float32", z, [n, about.latent_dim]),
    });
    return { x_0: x_0.data as Float32Array, eps: eps.data as Float32Array };
  };
}

const calls = {
  load,
  embed,
  sample: async (call: { z: Float32Array; x_T: Float32Array }) => sample(await bind(call.z), call.x_T, facts.denoiser!),
  invert: async (call: { z: Float32Array; x_0: Float32Array }) => invert(await bind(call.z), call.x_0, facts.denoiser!),
};
export type Calls = typeof calls;

// One after the other: a session must not be entered twice.
let last: Promise<unknown> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Call>) => {
  last = last.then(async () => {
    let answer: Answer;
    try {
      answer = { id: data.id, value: await calls[data.name](data.argument as never) };
    } catch (error) {
      answer = { id: data.id, error: error instanceof Error ? error.message : String(error) };
    }
    self.postMessage(answer);
  });
};
