// All pictures as squares, drawn by WebGL 2 a sheet at a time; from its texture where they are large enough to be looked at. What is
// drawn reaches beyond the map (MARGIN), so that a hand can move it without its being drawn anew.
const canvas = document.getElementById('drawn');
const gl = canvas.getContext('webgl2', { antialias: false, depth: false, alpha: false });

const MARGIN = 0.25;  // of the map's width and height, on each side: as page.css has it
const CHUNK = 128;  // rows that are drawn or left out together
const MOST_PIXELS = 1.6e7;  // of the canvas: a screen of 4K has twice as many, with the margin
const LOOKED_AT = 7;  // px of the screen from which a square shows its picture
const PASS_ALL = 0, PASS_PLAIN = 1, PASS_MARKED = 2;

// A square is a point of its size. One whose middle lies outside may be left out: that is in the margin.
const VERTEX = `#version 300 es
in vec2 place; in vec4 colour; in float marked;
uniform vec2 scale, offset; uniform float size, across, grown; uniform int first, pass;
flat out vec2 tile; flat out vec3 shade; flat out float mark;
void main() {
  mark = marked;
  shade = colour.rgb;
  float number = float(gl_VertexID - first), line = floor(number / across);
  tile = vec2(number - line * across, line);
  bool left = (pass == ${PASS_PLAIN} && marked > 0.) || (pass == ${PASS_MARKED} && marked == 0.);
  gl_Position = left ? vec4(2., 2., 2., 1.) : vec4(place * scale + offset, 0., 1.);
  gl_PointSize = marked > 0. ? size * grown : size;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
flat in vec2 tile; flat in vec3 shade; flat in float mark;
uniform sampler2D sheet; uniform float tiles, textured, border, opacity; uniform vec3 accent;
out vec4 result;
void main() {
  vec2 edge = min(gl_PointCoord, 1. - gl_PointCoord);
  if (mark > 0. && min(edge.x, edge.y) < border) { result = vec4(accent, 1.); return; }
  if (textured > .5) { result = vec4(texture(sheet, (tile + mix(vec2(.02), vec2(.98), gl_PointCoord)) * tiles).rgb, 1.); return; }
  result = mark > 0. ? vec4(accent, 1.) : vec4(shade, opacity);
}`;

// The canvas is opaque: a browser is quicker with it.
let paper = [];
function readPaper() {
  paper = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).map((each) => each / 255);
}
readPaper();

const drawing = { textures: new Array(sheetCount).fill(null), redraw: () => {} };
if (gl) {
  const shader = (kind, source) => { const made = gl.createShader(kind); gl.shaderSource(made, source); gl.compileShader(made); return made; };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, FRAGMENT));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  for (const name of ['scale', 'offset', 'size', 'across', 'grown', 'first', 'pass', 'tiles', 'textured', 'border', 'opacity', 'accent'])
    drawing[name] = gl.getUniformLocation(program, name);
  const attribute = (name, values, size, kind, normal) => {
    const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, name === 'marked' ? gl.DYNAMIC_DRAW : gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    const use = () => { gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.vertexAttribPointer(at, size, kind, normal, 0, 0); };
    use();
    return use;
  };
  const byKind = new Uint8Array(count * 3);
  for (let row = 0; row < count; row++) byKind.set(kindColour(clusters[row]), row * 3);
  attribute('place', places, 2, gl.FLOAT, false);
  drawing.pictures = attribute('colour', colours, 3, gl.UNSIGNED_BYTE, true);
  drawing.kinds = attribute('colour', byKind, 3, gl.UNSIGNED_BYTE, true);
  drawing.marked = attribute('marked', new Uint8Array(count), 1, gl.UNSIGNED_BYTE, false);
  drawing.largest = gl.getParameter(gl.ALIASED_POINT_SIZE_RANGE)[1];
  gl.uniform1f(drawing.across, across);
  gl.uniform1f(drawing.tiles, about.side / about.sheet);
  gl.uniform3f(drawing.accent, 0.95, 0.25, 0.1);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
}

// Left, low, right and high of each chunk. Rows lie along a curve, so chunks are small.
const boxes = new Float32Array(4 * Math.ceil(count / CHUNK));
for (let at = 0; at < boxes.length; at += 4) {
  boxes.fill(Infinity, at, at + 2);
  boxes.fill(-Infinity, at + 2, at + 4);
  for (let row = at / 4 * CHUNK; row < Math.min(count, (at / 4 + 1) * CHUNK); row++)
    for (let axis = 0; axis < 2; axis++) {
      boxes[at + axis] = Math.min(boxes[at + axis], places[2 * row + axis]);
      boxes[at + axis + 2] = Math.max(boxes[at + axis + 2], places[2 * row + axis]);
    }
}

function mark(values) {
  if (!gl) return;
  drawing.marked();
  gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
}

function texture(sheet) {
  if (drawing.textures[sheet] === null) {
    drawing.textures[sheet] = false;
    sheetImage(sheet, (image) => {
      const made = drawing.textures[sheet] = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D, made);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, image);
      for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.LINEAR);
      for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
      drawing.redraw();
    });
  }
  return drawing.textures[sheet];
}

// view: x, y in the middle, scale: CSS px a unit, coarse: with half the pixels a side; pixels: CSS px of a square.
function draw(view, pixels, byPicture, anyMarked) {
  if (!gl) return;
  const w = canvas.clientWidth, h = canvas.clientHeight;
  const dense = Math.min(window.devicePixelRatio || 1, Math.sqrt(MOST_PIXELS / (w * h))) / (view.coarse ? 2 : 1);
  if (canvas.width !== Math.round(w * dense) || canvas.height !== Math.round(h * dense)) {
    canvas.width = Math.round(w * dense);
    canvas.height = Math.round(h * dense);
  }
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(...paper, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  const sx = 2 * view.scale / w, sy = 2 * view.scale / h, shown = pixels >= LOOKED_AT, grown = shown ? 1 : 1.35;
  gl.uniform2f(drawing.scale, sx, sy);
  gl.uniform2f(drawing.offset, -view.x * sx, -view.y * sy);
  gl.uniform1f(drawing.size, Math.min(pixels * dense, drawing.largest / grown));
  gl.uniform1f(drawing.grown, grown);
  gl.uniform1f(drawing.border, Math.min(0.5, 2.5 / pixels));
  gl.uniform1f(drawing.opacity, anyMarked && !shown ? 0.45 : 1);
  if (anyMarked && !shown) gl.enable(gl.BLEND);
  else gl.disable(gl.BLEND);
  if (byPicture || shown) drawing.pictures();
  else drawing.kinds();
  const rx = (w + pixels) / 2 / view.scale, ry = (h + pixels) / 2 / view.scale;
  const seen = [view.x - rx, view.y - ry, view.x + rx, view.y + ry];
  for (const pass of anyMarked ? [PASS_PLAIN, PASS_MARKED] : [PASS_ALL]) {  // marked ones on top
    gl.uniform1i(drawing.pass, pass);
    if (shown) for (let sheet = 0; sheet < sheetCount; sheet++) drawSheet(sheet, seen);
    else {
      gl.uniform1f(drawing.textured, 0);
      drawRows(0, count, seen);
    }
  }
}

function drawSheet(sheet, seen) {
  const first = sheet * perSheet, end = Math.min(count, first + perSheet);
  let any = false;
  for (let row = first; row < end && !any; row += CHUNK) any = isSeen(row, seen);
  if (!any) return;
  const image = texture(sheet);
  if (image) gl.bindTexture(gl.TEXTURE_2D, image);
  gl.uniform1f(drawing.textured, image ? 1 : 0);
  gl.uniform1i(drawing.first, first);
  drawRows(first, end, seen);
}

// Rows from `first` up to `end`, of the chunks that are seen; chunks beside each other at once.
function drawRows(first, end, seen) {
  let from = -1;
  for (let row = first; row < end; row = (Math.floor(row / CHUNK) + 1) * CHUNK) {
    const here = isSeen(row, seen);
    if (here && from < 0) from = row;
    if (!here && from >= 0) {
      gl.drawArrays(gl.POINTS, from, row - from);
      from = -1;
    }
  }
  if (from >= 0) gl.drawArrays(gl.POINTS, from, end - from);
}

function isSeen(row, seen) {
  const at = 4 * Math.floor(row / CHUNK);
  return boxes[at] <= seen[2] && boxes[at + 1] <= seen[3] && boxes[at + 2] >= seen[0] && boxes[at + 3] >= seen[1];
}
