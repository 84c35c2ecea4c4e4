/** A file to pixels: upright, over white, as `soda.runtime.preprocess` does it. */

export const MAX_SIDE = 1024;
const MAX_PIXELS = 100_000_000;
const THUMBNAIL = 96;

export interface Picture {
  name: string;
  width: number;
  height: number;
  /** What the encoder gets: RGB, rows from the top, h * w * 3 bytes; null once embedded, to hold thousands in little memory. */
  pixels: Uint8Array | null;
  w: number;
  h: number;
  /** The square that the model sees, (C, S, S) in [-1, 1]. */
  square: Float32Array;
  thumbnail: string;
}

/** The form of picture that the model takes. */
export interface Form {
  size: number;
  channels: number;
  resize: "crop" | "stretch";
}

type Context = CanvasRenderingContext2D;

function canvas(width: number, height: number): Context {
  const element = document.createElement("canvas");
  element.width = width;
  element.height = height;
  const context = element.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Error("this browser gives no canvas to draw on");
  context.imageSmoothingQuality = "high";
  return context;
}

/** Reads a file. Throws an Error that says what is wrong with it, without its name. */
export async function readPicture(file: Blob, name: string, form: Form): Promise<Picture> {
  if (file.size === 0) throw new Error("the file is empty");
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(/\.(tiff?|heic|jp2)$/i.test(name) ? "browsers do not read this format" : "it is no picture, or it is damaged");
  }
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS) throw new Error(`${bitmap.width} × ${bitmap.height} px are too many`);
    const square = drawSquare(bitmap, form.size, form.resize);
    return {
      name,
      width: bitmap.width,
      height: bitmap.height,
      ...rgb(drawInput(bitmap, form.resize)),
      square: planes(square, form),
      thumbnail: thumbnail(bitmap, form.resize),
    };
  } finally {
    bitmap.close();
  }
}

/**
 * What the encoder gets: of a model that crops only the middle square. The graph resizes by itself; only what is far larger
 * than any model's input is made smaller here first.
 */
function drawInput(bitmap: ImageBitmap, resize: Form["resize"]): Context {
  if (resize === "crop") return drawSquare(bitmap, Math.min(bitmap.width, bitmap.height, MAX_SIDE), resize);
  const context = canvas(Math.min(bitmap.width, MAX_SIDE), Math.min(bitmap.height, MAX_SIDE));
  const { width, height } = context.canvas;
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return context;
}

function drawSquare(bitmap: ImageBitmap, size: number, resize: Form["resize"]): Context {
  const context = canvas(size, size);
  const side = Math.min(bitmap.width, bitmap.height);
  const [w, h] = resize === "crop" ? [side, side] : [bitmap.width, bitmap.height];
  context.fillStyle = "white";
  context.fillRect(0, 0, size, size);
  context.drawImage(bitmap, Math.floor((bitmap.width - w) / 2), Math.floor((bitmap.height - h) / 2), w, h, 0, 0, size, size);
  return context;
}

function rgb(context: Context): { pixels: Uint8Array; w: number; h: number } {
  const { width: w, height: h } = context.canvas;
  const rgba = context.getImageData(0, 0, w, h).data;
  const pixels = new Uint8Array(w * h * 3);
  for (let i = 0, j = 0; j < pixels.length; i += 4, j += 3) {
    pixels[j] = rgba[i];
    pixels[j + 1] = rgba[i + 1];
    pixels[j + 2] = rgba[i + 2];
  }
  return { pixels, w, h };
}

function planes(context: Context, form: Form): Float32Array {
  const { size, channels } = form;
  const rgba = context.getImageData(0, 0, size, size).data;
  const out = new Float32Array(channels * size * size);
  for (let i = 0; i < size * size; i++) {
    const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
    if (channels === 1) out[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b) / 127.5 - 1; // ITU-R BT.601, as Pillow's "L"
    else [r, g, b].forEach((value, c) => (out[c * size * size + i] = value / 127.5 - 1));
  }
  return out;
}

function thumbnail(bitmap: ImageBitmap, resize: Form["resize"]): string {
  const side = Math.min(THUMBNAIL, bitmap.width, bitmap.height);
  return drawSquare(bitmap, side, resize).canvas.toDataURL("image/png");
}

/** Paints a drawn picture, (C, S, S) in [-1, 1], at its own size; the page's style enlarges it. */
export function paint(element: HTMLCanvasElement, picture: Float32Array, form: Form): void {
  const { size, channels } = form;
  element.width = element.height = size;
  const image = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = Math.round((picture[(channels === 1 ? 0 : c) * size * size + i] + 1) * 127.5);
    }
    image.data[4 * i + 3] = 255;
  }
  element.getContext("2d")?.putImageData(image, 0, 0);
}
