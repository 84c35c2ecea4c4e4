// What part of the map is seen, and the labels of clusters over it.
const mapElement = document.getElementById('map'), labelsElement = document.getElementById('labels');
const bounds = [Infinity, Infinity, -Infinity, -Infinity];
for (const box of drawing.boxes)
  for (let axis = 0; axis < 2; axis++) {
    bounds[axis] = Math.min(bounds[axis], box[axis]);
    bounds[axis + 2] = Math.max(bounds[axis + 2], box[axis + 2]);
  }

const view = { x: 0, y: 0, scale: 1 };
let byPicture = false, waiting = false, anyMarked = false;

// The middle of the distances to the next row along the curve tells how dense the map is.
const spacing = (() => {
  const found = [];
  for (let row = 1; row < count; row += Math.max(1, Math.floor(count / 2000)))
    found.push(Math.hypot(places[2 * row] - places[2 * row - 2], places[2 * row + 1] - places[2 * row - 1]));
  found.sort((a, b) => a - b);
  return found[Math.floor(found.length / 2)] || 0.05;
})();

function squarePixels() {
  return Math.max(2.5, Math.min(96, 1.1 * spacing * view.scale));
}

function fit(box, share = 0.92) {
  const w = Math.max(box[2] - box[0], 1e-3), h = Math.max(box[3] - box[1], 1e-3);
  const large = mapElement.clientWidth, tall = mapElement.clientHeight;
  view.scale = share * Math.min(large / w, tall / h, 40 / spacing * Math.max(1, Math.min(large, tall) / 400));
  view.x = (box[0] + box[2]) / 2;
  view.y = (box[1] + box[3]) / 2;
  redraw();
}

function zoom(factor, atX = mapElement.clientWidth / 2, atY = mapElement.clientHeight / 2) {
  const before = toMap(atX, atY);
  const least = 0.3 * Math.min(mapElement.clientWidth, mapElement.clientHeight) / Math.max(bounds[2] - bounds[0], bounds[3] - bounds[1], 1e-3);
  view.scale = Math.max(least, Math.min(view.scale * factor, 1000 / spacing));
  const after = toMap(atX, atY);
  view.x += before[0] - after[0];
  view.y += before[1] - after[1];
  redraw();
}

function toMap(x, y) {
  return [view.x + (x - mapElement.clientWidth / 2) / view.scale, view.y - (y - mapElement.clientHeight / 2) / view.scale];
}

function toScreen(row) {
  return [mapElement.clientWidth / 2 + (places[2 * row] - view.x) * view.scale, mapElement.clientHeight / 2 - (places[2 * row + 1] - view.y) * view.scale];
}

// The row that lies at a place of the screen; -1 where there is none.
function rowAt(x, y) {
  const [mx, my] = toMap(x, y), reach = Math.max(squarePixels() / 2, 8) / view.scale;
  let best = -1, least = reach;
  for (let row = 0; row < count; row++) {
    const away = Math.max(Math.abs(places[2 * row] - mx), Math.abs(places[2 * row + 1] - my));
    if (away <= least) { least = away; best = row; }  // of several the one on top: it was drawn last
  }
  return best;
}

const labels = about.medoids.map((medoid, kind) => {
  const element = document.createElement('div'), text = document.createElement('span');
  element.className = 'label';
  element.style.setProperty('--kind', `rgb(${kindColour(kind)})`);
  text.textContent = shortName(medoid);
  element.append(thumbnail(medoid, 60), text);
  labelsElement.append(element);
  return { element, medoid, size: null };
});

function shortName(row) {
  return about.names[row].split('/').pop().replace(/\.[^.]+$/, '');
}

function placeLabels() {
  const taken = [], hidden = squarePixels() > 24;  // pictures speak for themselves
  for (const label of labels) {
    label.size ??= [label.element.offsetWidth / 2 + 2, label.element.offsetHeight / 2 + 2];
    const [x, y] = toScreen(label.medoid), [w, h] = label.size;
    const seen = x > -20 && y > -10 && x < mapElement.clientWidth + 20 && y < mapElement.clientHeight + 10;
    const free = !hidden && seen && !taken.some(([tx, ty, tw, th]) => Math.abs(tx - x) < tw + w && Math.abs(ty - y) < th + h);
    if (free) taken.push([x, y, w, h]);
    label.element.style.visibility = free ? 'visible' : 'hidden';
    if (free) label.element.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
  }
}

let frames = 0;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    frames++;
    draw(view, squarePixels(), byPicture, anyMarked);
    placeLabels();
  });
}
drawing.redraw = redraw;
