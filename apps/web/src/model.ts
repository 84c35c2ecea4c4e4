/** What model.json says of the two ONNX files; `bundle_model.py` writes it. */

export interface Direction {
  number: number;
  name: string | null;
  kind: string;
  section: number | null;
  /** One standard deviation along the direction: D numbers. */
  vector: number[];
}

/** What a picture is compared by. The decoder draws from z alone. */
export type Kind = "z" | "features";

/** Of one picture, or of several, flat. */
export interface Vectors {
  z: Float32Array;
  features: Float32Array | null;
}

export interface EncoderFacts {
  file: string;
  latent_dim: number;
  image_size: number;
  channels: number;
  resize: "crop" | "stretch";
  dataset: string;
  /** Of each component of z over the training pictures: D numbers. */
  z_mean: number[];
  z_std: number[];
  /** The same of the features before z, where the file gives them. */
  features: { mean: number[]; std: number[] } | null;
  /** Which of the two was measured to find better what is like a picture. */
  search_vectors: Kind;
}

export interface DenoiserFacts {
  file: string;
  latent_dim: number;
  image_size: number;
  channels: number;
  sections: number;
  /** Entry 0 is the clean picture, the last the noisiest. */
  alphas_cumprod: number[];
  /** Table entries that sampling visits: falling, the last is 0. */
  timesteps: number[];
  directions: Direction[];
}

export interface ModelFacts {
  format: number;
  name: string;
  encoder: EncoderFacts;
  denoiser: DenoiserFacts | null;
  examples: string[];
}

/** Where model.json and its files are, whatever sub-path the page has. */
export const MODEL_BASE = new URL("model/", document.baseURI);

/** Fetches model.json. Throws an Error whose message can be shown. */
export async function fetchFacts(): Promise<ModelFacts> {
  const answer = await fetch(new URL("model.json", MODEL_BASE));
  const kind = answer.headers.get("content-type") ?? "";
  // A server for single-page apps answers HTML, with 200, for what is not there.
  if (!answer.ok || kind.includes("html")) {
    throw new Error("No model is here yet: run “python apps/web/bundle_model.py zoo/fashion_mnist”, then build the page again.");
  }
  const facts = (await answer.json()) as ModelFacts;
  if (facts.format !== 2) throw new Error(`model.json has format ${facts.format}; this page reads format 2: run bundle_model.py again.`);
  return facts;
}

/** What a list calls a direction: the name that a person gave it, else its number and how it was found. */
export function nameOf({ name, number, kind, section }: Direction): string {
  return name ?? `Direction ${number} (${kind}${section === null ? "" : `, section ${section}`})`;
}
