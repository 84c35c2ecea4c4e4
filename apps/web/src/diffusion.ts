/** Deterministic DDIM (Song et al. 2021, eq. 12 with eta = 0) and its inverse, on flat Float32Arrays of N pictures. */

export interface Schedule {
  alphas_cumprod: number[];
  timesteps: number[];
}

export interface Prediction {
  x_0: Float32Array;
  eps: Float32Array;
}

/** x_t of N pictures at table entry t -> what the network sees in it. */
export type Denoise = (x_t: Float32Array, t: number) => Promise<Prediction>;

/** Draws x_0 from x_T. Nothing is clipped on the way, so that an inverted x_T leads back to its picture. */
export async function sample(denoise: Denoise, x_T: Float32Array, schedule: Schedule): Promise<Float32Array> {
  const { alphas_cumprod: table, timesteps: times } = schedule;
  let x = x_T;
  for (let k = 0; k + 1 < times.length; k++) {
    const { x_0, eps } = await denoise(x, times[k]);
    const abar = table[times[k + 1]];
    x = combine(Math.sqrt(abar), x_0, Math.sqrt(1 - abar), eps);
  }
  return x.map((value) => Math.max(-1, Math.min(1, value)));
}

/**
 * The x_T from which `sample` gives x_0 back: every step solved for the point that the sampler came from, by fixed-point
 * iteration. The noise last seen, one step nearer the picture, makes the first guess.
 */
export async function invert(denoise: Denoise, x_0: Float32Array, schedule: Schedule, rounds = 3): Promise<Float32Array> {
  const { alphas_cumprod: table } = schedule;
  const times = [...schedule.timesteps].reverse();
  let x = x_0;
  let eps: Float32Array = new Float32Array(x_0.length);
  for (let k = 0; k + 1 < times.length; k++) {
    const before = table[times[k]];
    const abar = table[times[k + 1]];
    const scale = Math.sqrt(abar / before);
    const weight = Math.sqrt(1 - abar) - Math.sqrt((abar * (1 - before)) / before);
    const from = x;
    x = combine(scale, from, weight, eps);
    for (let round = 0; round < rounds; round++) {
      eps = (await denoise(x, times[k + 1])).eps;
      x = combine(scale, from, weight, eps);
    }
  }
  return x;
}

function combine(a: number, u: Float32Array, b: number, v: Float32Array): Float32Array {
  const out = new Float32Array(u.length);
  for (let i = 0; i < out.length; i++) out[i] = a * u[i] + b * v[i];
  return out;
}

/** From a (0) to b (1) in a straight line. */
export function lerp(a: Float32Array, b: Float32Array, at: number): Float32Array {
  return combine(1 - at, a, at, b);
}

/** From a to b on the sphere: noise half way between two noises is noise again. */
export function slerp(a: Float32Array, b: Float32Array, at: number): Float32Array {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const angle = Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(aa * bb || 1))));
  if (angle < 1e-4) return lerp(a, b, at);
  return combine(Math.sin((1 - at) * angle) / Math.sin(angle), a, Math.sin(at * angle) / Math.sin(angle), b);
}
