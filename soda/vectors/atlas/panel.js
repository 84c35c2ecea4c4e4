// Beside the map: the picture that was clicked and those like it, what is selected, and the clusters.
const LIKE = 24;
const one = document.getElementById('one');
const marked = new Uint8Array(count);

function button(text, action, name = '') {
  const made = document.createElement('button');
  if (name) made.className = name;
  made.append(text);
  made.addEventListener('click', action);
  return made;
}

function fileOf(row) {
  const path = `${about.folder}/${about.names[row]}`;
  return 'file://' + path.split('/').map(encodeURIComponent).join('/');
}

// Search by example: the picture, and those most like it, marked on the map.
function showOne(row) {
  one.hidden = row < 0;
  one.replaceChildren();
  shownRow = row;
  if (row >= 0) {
    const found = nearest(row, LIKE), large = thumbnail(row, 208), name = document.createElement('p');
    const link = document.createElement('a'), like = document.createElement('div'), heading = document.createElement('h2');
    large.className = 'big';
    name.className = 'name';
    link.href = fileOf(row);
    link.textContent = about.names[row];
    name.append(link);
    heading.textContent = 'Like it';
    like.className = 'like';
    likeIt = found;
    for (const [other, cosine] of found) {
      const each = button(thumbnail(other, 2 * about.side), () => { showOne(other); goTo(other); });
      each.title = `${about.names[other]}: ${cosine.toFixed(3)}`;
      each.setAttribute('aria-label', each.title);
      like.append(each);
    }
    const row1 = document.createElement('div');
    row1.className = 'row';
    row1.append(button('Select these', () => select([row, ...found.map(([other]) => other)])), button('Close', () => showOne(-1)));
    one.append(large, name, heading, like, row1);
    document.getElementById('panel').scrollTop = 0;
  } else likeIt = [];
  markAll();
}
let likeIt = [], shownRow = -1;

function goTo(row) {
  view.x = places[2 * row];
  view.y = places[2 * row + 1];
  follow();
}

function select(rows, value = 1) {
  for (const row of rows) selected[row] = value;
  let total = 0;
  for (const each of selected) total += each;
  document.getElementById('selected').textContent = total.toLocaleString('en');
  for (const id of ['save', 'savecsv', 'clear']) document.getElementById(id).disabled = !total;
  document.getElementById('hint').hidden = total > 0;
  markAll();
}

function markAll() {
  marked.set(selected);
  anyMarked = shownRow >= 0;
  for (const [row] of likeIt) marked[row] = 1;
  if (shownRow >= 0) marked[shownRow] = 1;
  for (let row = 0; row < count && !anyMarked; row++) anyMarked = marked[row] > 0;
  mark(marked);
  redraw();
}

function* selectedRows() {
  for (let row = 0; row < count; row++) if (selected[row]) yield row;
}

function save(name, type, lines) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines.join('\n') + '\n'], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
document.getElementById('save').addEventListener('click', () => {
  save('selected.txt', 'text/plain', [...selectedRows()].map((row) => about.names[row]).sort());
});
document.getElementById('savecsv').addEventListener('click', () => {
  const rows = [...selectedRows()].sort((a, b) => (about.names[a] < about.names[b] ? -1 : 1));
  save('selected.csv', 'text/csv', ['file,cluster', ...rows.map((row) => `${quoted(about.names[row])},${clusters[row]}`)]);
});
document.getElementById('clear').addEventListener('click', () => { selected.fill(0); select([]); });

function rowsOf(kind) {
  const rows = [];
  for (let row = 0; row < count; row++) if (clusters[row] === kind) rows.push(row);
  return rows;
}

// The part of the map in which nine tenths of a cluster lie.
function boxOf(rows) {
  const sides = [0, 1].map((axis) => rows.map((row) => places[2 * row + axis]).sort((a, b) => a - b));
  const at = (values, share) => values[Math.round(share * (values.length - 1))];
  return [at(sides[0], 0.05), at(sides[1], 0.05), at(sides[0], 0.95), at(sides[1], 0.95)];
}

about.medoids.forEach((medoid, kind) => {
  const line = document.createElement('li'), name = document.createElement('span'), size = document.createElement('small');
  name.textContent = shortName(medoid);
  size.textContent = sizes[kind].toLocaleString('en');
  size.className = 'soft';
  const go = button(thumbnail(medoid, 60), () => fit(boxOf(rowsOf(kind)), 0.85), 'go');
  go.style.setProperty('--kind', `rgb(${kindColour(kind)})`);
  go.append(name, size);
  const take = button('Select', () => select(rowsOf(kind)));
  take.setAttribute('aria-label', `Select the cluster of ${shortName(medoid)}`);
  line.append(go, take);
  document.getElementById('clusterlist').append(line);
});
