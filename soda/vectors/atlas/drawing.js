// All pictures as squares, drawn by WebGL 2: a sheet at a time, from its texture where they are large enough to be looked at.
const canvas = document.getElementById('drawn');
const gl = canvas.getContext('webgl2', { antialias: false, alpha: true, premultipliedAlpha: false });

const VERTEX = `#version 300 es
in vec2 corner; in vec2 place; in vec4 colour; in float marked;
uniform vec2 scale, offset, size; uniform float across, tiles, strength;
out vec2 inside, texel; out vec4 shade; flat out float mark;
void main() {
  float tile = float(gl_InstanceID), line = floor(tile / across);
  inside = corner;
  texel = (vec2(tile - line * across, line) + mix(vec2(.02), vec2(.98), corner)) * tiles;
  shade = colour; mark = marked;
  float larger = marked > 0. ? 1. + .35 * strength : 1.;
  gl_Position = vec4(place * scale + offset + (corner - .5) * vec2(1., -1.) * size * larger, marked > 0. ? -.5 : 0., 1.);  // marked ones on top
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec2 inside, texel; in vec4 shade; flat in float mark;
uniform sampler2D sheet; uniform float textured, border, fade; uniform vec3 accent;
out vec4 result;
void main() {
  vec2 edge = min(inside, 1. - inside);
  if (mark > 0. && min(edge.x, edge.y) < border) { result = vec4(accent, 1.); return; }
  if (textured < .5 && distance(inside, vec2(.5)) > .5 && border < .3) discard;
  result = textured > .5 ? vec4(texture(sheet, texel).rgb, 1.) : vec4(mark > 0. ? accent : shade.rgb, 1.);
  if (mark == 0. && fade > 0.) result.a *= 1. - fade;
}`;

const drawing = { textures: new Array(sheetCount).fill(null), boxes: [], redraw: () => {} };
if (gl) {
  const shader = (kind, source) => { const made = gl.createShader(kind); gl.shaderSource(made, source); gl.compileShader(made); return made; };
  const program = drawing.program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, FRAGMENT));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  for (const name of ['scale', 'offset', 'size', 'across', 'tiles', 'textured', 'border', 'accent', 'strength', 'fade'])
    drawing[name] = gl.getUniformLocation(program, name);
  const buffer = (values, usage = gl.STATIC_DRAW) => {
    const made = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.bufferData(gl.ARRAY_BUFFER, values, usage);
    return made;
  };
  const byKind = new Uint8Array(count * 3);
  for (let row = 0; row < count; row++) byKind.set(kindColour(clusters[row]), row * 3);
  drawing.buffers = { corner: buffer(new Float32Array([0, 0, 1, 0, 0, 1, 1, 1])), place: buffer(places), pictures: buffer(colours),
    kinds: buffer(byKind), marked: buffer(new Uint8Array(count), gl.DYNAMIC_DRAW) };
  for (const name of ['corner', 'place', 'colour', 'marked']) {
    const at = drawing[`at_${name}`] = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    if (name !== 'corner') gl.vertexAttribDivisor(at, 1);
  }
  gl.enable(gl.DEPTH_TEST);
  gl.depthFunc(gl.LEQUAL);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
}
for (let sheet = 0; sheet < sheetCount; sheet++) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let row = sheet * perSheet; row < Math.min(count, (sheet + 1) * perSheet); row++)
    for (let axis = 0; axis < 2; axis++) {
      box[axis] = Math.min(box[axis], places[2 * row + axis]);
      box[axis + 2] = Math.max(box[axis + 2], places[2 * row + axis]);
    }
  drawing.boxes.push(box);
}

function mark(values) {
  if (!gl) return;
  gl.bindBuffer(gl.ARRAY_BUFFER, drawing.buffers.marked);
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

const LOOKED_AT = 7; // px of the screen from which a square shows its picture

// view: x, y in the middle, scale: CSS px a unit; pixels: CSS px of a square.
function draw(view, pixels, byPicture, anyMarked) {
  if (!gl) return;
  const dense = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * dense) || canvas.height !== Math.round(h * dense)) {
    canvas.width = Math.round(w * dense);
    canvas.height = Math.round(h * dense);
  }
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  const sx = 2 * view.scale / w, sy = 2 * view.scale / h, shown = pixels >= LOOKED_AT;
  gl.uniform2f(drawing.scale, sx, sy);
  gl.uniform2f(drawing.offset, -view.x * sx, -view.y * sy);
  gl.uniform2f(drawing.size, 2 * pixels / w, 2 * pixels / h);
  gl.uniform1f(drawing.across, across);
  gl.uniform1f(drawing.tiles, about.side / about.sheet);
  gl.uniform1f(drawing.border, Math.min(0.5, 2.5 / pixels));
  gl.uniform1f(drawing.strength, shown ? 0 : 1);
  gl.uniform1f(drawing.fade, anyMarked && !shown ? 0.55 : 0);
  gl.uniform3f(drawing.accent, 0.95, 0.25, 0.1);
  const attribute = (name, source, size, kind, normal, stride, row) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, drawing.buffers[source]);
    gl.vertexAttribPointer(drawing[`at_${name}`], size, kind, normal, stride, row * stride);
  };
  attribute('corner', 'corner', 2, gl.FLOAT, false, 8, 0);
  const rx = (w + pixels) / 2 / view.scale, ry = (h + pixels) / 2 / view.scale;
  for (let sheet = 0; sheet < sheetCount; sheet++) {
    const [left, low, right, high] = drawing.boxes[sheet];
    if (right < view.x - rx || left > view.x + rx || high < view.y - ry || low > view.y + ry) continue;
    const image = shown ? texture(sheet) : null, row = sheet * perSheet;
    if (image) gl.bindTexture(gl.TEXTURE_2D, image);
    gl.uniform1f(drawing.textured, image ? 1 : 0);
    attribute('place', 'place', 2, gl.FLOAT, false, 8, row);
    attribute('colour', byPicture || shown ? 'pictures' : 'kinds', 3, gl.UNSIGNED_BYTE, true, 3, row);
    attribute('marked', 'marked', 1, gl.UNSIGNED_BYTE, false, 1, row);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, Math.min(perSheet, count - row));
  }
}
