/** What the page makes of vectors: cosines, neighbours, groups of duplicates, a map. */

/** A copy of unit length, so that dot products are cosines. */
export function unit(z: Float32Array): Float32Array {
  const length = Math.max(Math.hypot(...z), Number.MIN_VALUE);
  return z.map((value) => value / length);
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export interface Neighbour {
  index: number;
  cosine: number;
}

/** The `count` nearest of unit vectors to the one at `index`, without itself, nearest first. */
export function neighbours(units: Float32Array[], index: number, count: number): Neighbour[] {
  const all = units.map((other, i) => ({ index: i, cosine: dot(units[index], other) }));
  all.splice(index, 1);
  return all.sort((a, b) => b.cosine - a.cosine).slice(0, count);
}

/** A picture's cosine with itself may fall this short of 1 in float32. */
const ROUNDING = 1e-6;

export interface Pair {
  a: number;
  b: number;
  cosine: number;
}

/** All pairs of unit vectors whose cosine is `least` or more: the costly part, which need not be done again for a higher one. */
export function closePairs(units: Float32Array[], least: number): Pair[] {
  const pairs: Pair[] = [];
  for (let a = 0; a < units.length; a++) {
    for (let b = 0; b < a; b++) {
      const cosine = dot(units[a], units[b]);
      if (cosine >= least - ROUNDING) pairs.push({ a, b, cosine });
    }
  }
  return pairs;
}

/** Groups of two or more, of `count` pictures, that hang together by pairs of `least` or more; the largest first. */
export function groupsOf(count: number, pairs: Pair[], least: number): number[][] {
  const parent = Array.from({ length: count }, (_, i) => i);
  const root = (i: number): number => {
    while (parent[i] !== i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (const { a, b, cosine } of pairs) if (cosine >= least - ROUNDING) parent[root(a)] = root(b);
  const groups = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const group = groups.get(root(i));
    if (group) group.push(i);
    else groups.set(root(i), [i]);
  }
  return [...groups.values()].filter((group) => group.length > 1).sort((a, b) => b.length - a.length);
}

export interface Plane {
  /** (x, y) of every vector, in [0, 1] with the aspect kept. */
  points: [number, number][];
  /** Share of the variance that each axis has. */
  shares: [number, number];
}

/** The first two principal components, by orthogonal iteration on the covariance. */
export function principalPlane(vectors: Float32Array[], rounds = 60): Plane {
  const n = vectors.length;
  const d = vectors[0].length;
  const mean = new Float64Array(d);
  for (const z of vectors) for (let i = 0; i < d; i++) mean[i] += z[i] / n;
  const centred = vectors.map((z) => Float64Array.from(z, (value, i) => value - mean[i]));
  const total = centred.reduce((sum, z) => sum + z.reduce((part, value) => part + value * value, 0), 0);
  const axes: Float64Array[] = [];
  const shares: number[] = [];
  for (let k = 0; k < 2; k++) {
    // No random start: the same pictures give the same map.
    let axis = Float64Array.from({ length: d }, (_, i) => Math.cos(1.7 * (i + 1) * (k + 1)));
    let power = 0;
    for (let round = 0; round < rounds; round++) {
      const next = new Float64Array(d);
      for (const z of centred) {
        let along = 0;
        for (let i = 0; i < d; i++) along += z[i] * axis[i];
        for (let i = 0; i < d; i++) next[i] += along * z[i];
      }
      for (const other of axes) {
        let along = 0;
        for (let i = 0; i < d; i++) along += next[i] * other[i];
        for (let i = 0; i < d; i++) next[i] -= along * other[i];
      }
      power = Math.hypot(...next);
      if (power < 1e-12) break;
      axis = next.map((value) => value / power);
    }
    axes.push(axis);
    shares.push(total > 0 ? power / total : 0);
  }
  const flat = centred.map((z) => axes.map((axis) => z.reduce((sum, value, i) => sum + value * axis[i], 0)));
  const low = [0, 1].map((k) => Math.min(...flat.map((point) => point[k])));
  const high = [0, 1].map((k) => Math.max(...flat.map((point) => point[k])));
  const span = Math.max(high[0] - low[0], high[1] - low[1], 1e-9);
  const place = (point: number[], k: number) => 0.5 + (point[k] - (low[k] + high[k]) / 2) / span;
  return { points: flat.map((point) => [place(point, 0), place(point, 1)]), shares: [shares[0], shares[1]] };
}
