// Hands and keys: drag, wheel, pinch, click, and a line drawn round pictures.
const lasso = document.getElementById('lasso'), pointers = new Map();
let selecting = false, line = [], moved = 0;

function setSelecting(on) {
  selecting = on;
  document.getElementById('select').setAttribute('aria-pressed', on);
  mapElement.classList.toggle('selecting', on);
}

const at = (event) => {
  const box = mapElement.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

mapElement.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  mapElement.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  moved = pointers.size > 1 ? Infinity : 0;
  line = selecting || event.shiftKey ? [at(event)] : [];
  mapElement.classList.toggle('dragging', !line.length);
});

mapElement.addEventListener('pointermove', (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = at(event), others = [...pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
  pointers.set(event.pointerId, now);
  moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (others.length) {  // a pinch
    const [other] = others, apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    line = [];
    drawLasso();
    zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    view.x -= (now[0] - before[0]) / 2 / view.scale;
    view.y += (now[1] - before[1]) / 2 / view.scale;
  } else if (line.length) {
    line.push(now);
    drawLasso();
  } else {
    view.x -= (now[0] - before[0]) / view.scale;
    view.y += (now[1] - before[1]) / view.scale;
  }
  follow();
});

for (const end of ['pointerup', 'pointercancel'])
  mapElement.addEventListener(end, (event) => {
    if (!pointers.delete(event.pointerId) || pointers.size) return;
    mapElement.classList.remove('dragging');
    const drawn = line;
    line = [];
    drawLasso();
    if (end === 'pointercancel') return;
    if (drawn.length > 2) select(inside(drawn.map(([x, y]) => toMap(x, y))));
    else if (moved < 6) showOne(rowAt(...at(event)));
  });

mapElement.addEventListener('wheel', (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event));
}, { passive: false });

function drawLasso() {
  lasso.hidden = line.length < 2;  // an empty canvas would cost time in every frame
  if (lasso.hidden) return;
  lasso.width = mapElement.clientWidth;
  lasso.height = mapElement.clientHeight;
  const context = lasso.getContext('2d');
  context.beginPath();
  for (const [x, y] of line) context.lineTo(x, y);
  context.closePath();
  context.fillStyle = 'rgba(242, 64, 26, .12)';
  context.strokeStyle = 'rgb(242, 64, 26)';
  context.lineWidth = 2;
  context.fill();
  context.stroke();
}

// Rows within a closed line (Shimrat 1962): a ray from them crosses it an odd number of times.
function inside(polygon) {
  const rows = [];
  for (let row = 0; row < count; row++) {
    const x = places[2 * row], y = places[2 * row + 1];
    let odd = false;
    for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
      const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
      if ((yi > y) !== (yj > y) && x < (xj - xi) * (y - yi) / (yj - yi) + xi) odd = !odd;
    }
    if (odd) rows.push(row);
  }
  return rows;
}

const actions = {
  select: () => setSelecting(!selecting),
  colour: () => {
    byPicture = !byPicture;
    document.getElementById('colour').setAttribute('aria-pressed', byPicture);
    redraw();
  },
  in: () => zoom(1.5),
  out: () => zoom(1 / 1.5),
  whole: () => fit(bounds),
};
for (const [id, action] of Object.entries(actions)) document.getElementById(id).addEventListener('click', action);

const keys = { s: actions.select, c: actions.colour, '+': actions.in, '=': actions.in, '-': actions.out, 0: actions.whole,
  Escape: () => { setSelecting(false); showOne(-1); }, ArrowLeft: () => pan(-1, 0), ArrowRight: () => pan(1, 0), ArrowUp: () => pan(0, 1), ArrowDown: () => pan(0, -1) };
function pan(x, y) {
  view.x += 80 * x / view.scale;
  view.y += 80 * y / view.scale;
  follow();
}
mapElement.addEventListener('keydown', (event) => {
  if (keys[event.key] && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    keys[event.key]();
  }
});

document.getElementById('count').textContent = `${count.toLocaleString('en')} pictures, ${about.medoids.length} clusters`;
if (!gl) document.getElementById('count').textContent += ': this browser has no WebGL 2, the map cannot be drawn';
new ResizeObserver(() => {
  for (const label of labels) label.size = null;  // a phone shows no names
  redraw();
}).observe(mapElement);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readPaper(); redraw(); });
fit(bounds);
