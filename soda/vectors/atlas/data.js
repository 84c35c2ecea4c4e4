// What the page holds. A row is a picture; rows lie along a curve over the map, so that neighbours share sheets.
const bytes = (id) => {
  const element = document.getElementById(id), text = atob(element.textContent), out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  element.remove();
  return out;
};
const about = JSON.parse(document.getElementById('about').textContent);
const places = new Float32Array(bytes('places').buffer);
const clusters = new Uint16Array(bytes('clusters').buffer);
const vectors = new Int8Array(bytes('vectors').buffer);
const colours = bytes('colours');
const count = about.names.length, width = vectors.length / count;
const across = Math.floor(about.sheet / about.side), perSheet = across * across, sheetCount = Math.ceil(count / perSheet);
const selected = new Uint8Array(count);
const sizes = new Uint32Array(about.medoids.length);
for (const kind of clusters) sizes[kind]++;

const lengths = new Float32Array(count);
for (let row = 0; row < count; row++) {
  let sum = 0;
  for (let i = row * width; i < (row + 1) * width; i++) sum += vectors[i] * vectors[i];
  lengths[row] = Math.sqrt(sum) || 1;
}

// The rows most like one, best first: [row, cosine].
function nearest(row, most) {
  const found = [], query = vectors.subarray(row * width, (row + 1) * width);
  let least = -2;
  for (let other = 0, at = 0; other < count; other++) {
    let dot = 0;
    for (let i = 0; i < width; i++) dot += query[i] * vectors[at++];
    const cosine = dot / (lengths[other] * lengths[row]);
    if (other === row || (found.length === most && cosine <= least)) continue;
    let place = found.length;
    while (place > 0 && found[place - 1][1] < cosine) place--;
    found.splice(place, 0, [other, cosine]);
    if (found.length > most) found.pop();
    least = found[found.length - 1][1];
  }
  return found;
}

// Colours that differ from cluster to cluster, whatever their number.
function kindColour(kind) {
  const hue = (kind * 137.508) % 360, light = 45 + 12 * (kind % 3), chroma = (1 - Math.abs(2 * light / 100 - 1)) * 0.62;
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light / 100 - chroma / 2 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

// Sheets of thumbnails are decoded when they are first looked at, beside what the page does meanwhile.
const images = new Array(sheetCount).fill(null);
function sheetImage(number, then) {
  if (!images[number]) {
    const element = document.getElementById(`sheet-${number}`);
    images[number] = createImageBitmap(new Blob([bytes(element.id)], { type: 'image/jpeg' }));
  }
  images[number].then(then);
}

function thumbnail(row, pixels) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = pixels;
  sheetImage(Math.floor(row / perSheet), (image) => {
    const tile = row % perSheet, side = about.side, context = canvas.getContext('2d');
    context.imageSmoothingEnabled = pixels < 3 * side;
    context.drawImage(image, (tile % across) * side, Math.floor(tile / across) * side, side, side, 0, 0, pixels, pixels);
  });
  return canvas;
}
