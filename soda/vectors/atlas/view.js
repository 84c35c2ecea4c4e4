// What part of the map is seen, and the labels of clusters over it.
const mapElement = document.getElementById('map'), labelsElement = document.getElementById('labels');
const bounds = [Infinity, Infinity, -Infinity, -Infinity];
for (let at = 0; at < boxes.length; at += 4)
  for (let axis = 0; axis < 2; axis++) {
    bounds[axis] = Math.min(bounds[axis], boxes[at + axis]);
    bounds[axis + 2] = Math.max(bounds[axis + 2], boxes[at + axis + 2]);
  }

const view = { x: 0, y: 0, scale: 1 };
let byPicture = false, anyMarked = false;

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
  follow();
}

function zoom(factor, atX = mapElement.clientWidth / 2, atY = mapElement.clientHeight / 2) {
  const before = toMap(atX, atY);
  const least = 0.3 * Math.min(mapElement.clientWidth, mapElement.clientHeight) / Math.max(bounds[2] - bounds[0], bounds[3] - bounds[1], 1e-3);
  view.scale = Math.max(least, Math.min(view.scale * factor, 1000 / spacing));
  const after = toMap(atX, atY);
  view.x += before[0] - after[0];
  view.y += before[1] - after[1];
  follow();
}

function toMap(x, y) {
  return [view.x + (x - mapElement.clientWidth / 2) / view.scale, view.y - (y - mapElement.clientHeight / 2) / view.scale];
}

function toScreen(row, { x, y, scale } = view) {
  return [mapElement.clientWidth / 2 + (places[2 * row] - x) * scale, mapElement.clientHeight / 2 - (places[2 * row + 1] - y) * scale];
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

// For a view; in the margin, too.
function placeLabels(of) {
  const taken = [], hidden = squarePixels() > 24;  // pictures speak for themselves
  const beyondX = MARGIN * mapElement.clientWidth, beyondY = MARGIN * mapElement.clientHeight;
  for (const label of labels) {
    label.size ??= [label.element.offsetWidth / 2 + 2, label.element.offsetHeight / 2 + 2];  // half of it, and a little room
    const [x, y] = toScreen(label.medoid, of), [w, h] = label.size;
    const seen = x > -beyondX && y > -beyondY && x < mapElement.clientWidth + beyondX && y < mapElement.clientHeight + beyondY;
    const free = !hidden && seen && !taken.some(([tx, ty, tw, th]) => Math.abs(tx - x) < tw + w && Math.abs(ty - y) < th + h);
    if (free) taken.push([x, y, w, h]);
    label.element.style.visibility = free ? 'visible' : 'hidden';
    if (free) label.element.style.transform = `translate(${Math.round(x - w + 2)}px, ${Math.round(y - h + 2)}px)`;
  }
}

// What is on the canvas. Until it must be drawn anew it is moved and enlarged with the view, which costs nearly nothing.
const drawn = { x: 0, y: 0, scale: 0, stale: true, coarse: false };
const SETTLED = 120;  // ms without a movement until it is drawn sharp, with all of its margin
const LATE = 80;  // ms from one that is drawn to the next frame from which this computer counts as slow: it then draws coarsely while moving
let frames = 0, waiting = false, settling = 0, drawnAt = 0, slow = false;

function redraw() {
  drawn.stale = true;
  follow();
}

// Sheets come a few at a time.
let arriving = 0;
drawing.redraw = () => { arriving ||= setTimeout(() => { arriving = 0; redraw(); }, 100); };

// The view has moved, and nothing else.
function follow() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(frame);
}

function frame(now) {
  waiting = false;
  frames++;
  clearTimeout(settling);
  if (drawnAt && now - drawnAt > LATE && now - drawnAt < 10 * LATE) slow = true;
  drawnAt = 0;
  const larger = view.scale / drawn.scale;
  if (drawn.stale) drawAt(view.x, view.y, false);
  else if (larger > 2 || larger < 0.5 || !isCovered()) {
    const [x, y] = ahead();
    drawAt(x, y, slow);
    drawnAt = now;
  }
  place();
}

function drawAt(x, y, coarse) {
  Object.assign(drawn, { x, y, scale: view.scale, stale: false, coarse });
  draw(drawn, squarePixels(), byPicture, anyMarked);
  placeLabels(drawn);
}

// Where the middle is best, if the movement goes on: the view is then in the half that it leaves.
function ahead() {
  if (view.scale !== drawn.scale) return [view.x, view.y];
  return ['x', 'y'].map((axis, number) => {
    const most = 0.8 * MARGIN * [mapElement.clientWidth, mapElement.clientHeight][number] / view.scale;
    return view[axis] + Math.max(-most, Math.min(most, view[axis] - drawn[axis]));
  });
}

// Bring what is drawn to where the view is.
function place() {
  const larger = view.scale / drawn.scale, dense = window.devicePixelRatio || 1;
  const [dx, dy] = [drawn.x - view.x, view.y - drawn.y].map((apart) => Math.round(apart * view.scale * dense) / dense);  // stays sharp
  canvas.style.transform = `translate(${dx}px, ${dy}px) scale(${larger})`;
  if (larger !== 1) placeLabels(view);
  labelsElement.style.transform = larger === 1 ? `translate(${dx}px, ${dy}px)` : 'none';
  if (dx || dy || larger !== 1 || drawn.coarse) settling = setTimeout(redraw, SETTLED);
}

// Whether all that lies within the view is on the canvas; outside of the bounds there is nothing to be drawn.
function isCovered() {
  const square = squarePixels();
  return ['x', 'y'].every((axis, number) => {
    const side = [mapElement.clientWidth, mapElement.clientHeight][number];
    const seen = (side + square) / 2 / view.scale, reach = (0.5 + MARGIN) * side / drawn.scale;
    const low = Math.max(view[axis] - seen, bounds[number]), high = Math.min(view[axis] + seen, bounds[number + 2]);
    return low > high || (low >= drawn[axis] - reach && high <= drawn[axis] + reach);
  });
}
