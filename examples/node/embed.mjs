// Pictures to vectors with Node: node embed.mjs ../../zoo/fashion_mnist/encoder.onnx a.png b.jpg
// Prints one line of JSON a picture: {"file": ..., "z": [...]}, or {"file": ..., "error": ...}.
import process from "node:process";
import ort from "onnxruntime-node";
import sharp from "sharp";

/** A file to the tensor that the encoder takes: upright, over white, RGB bytes (1, H, W, 3). The graph resizes by itself. */
async function readPicture(file) {
  const picture = sharp(file, { failOn: "error", limitInputPixels: 100_000_000 }).rotate().flatten({ background: "white" });
  const { data, info } = await picture.toColourspace("srgb").raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  return new ort.Tensor("uint8", new Uint8Array(data), [1, info.height, info.width, info.channels]);
}

const [model, ...files] = process.argv.slice(2);
if (!model || !files.length) {
  console.error("usage: node embed.mjs ENCODER.onnx PICTURE...");
  process.exit(2);
}
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
for (const file of files) {
  try {
    const { z } = await session.run({ images: await readPicture(file) });
    console.log(JSON.stringify({ file, z: Array.from(z.data) }));
  } catch (error) {
    console.log(JSON.stringify({ file, error: error.message }));
    process.exitCode = 1;
  }
}
