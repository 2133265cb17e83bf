// The writing pad: strokes or a picture, and what they are read as.

import { Failed, ask, made, note, showBars } from "./ask.js";
import { onLanguage, say } from "./words.js";

const WAIT_MS = 300;
const WIDTH = 0.042;
const LARGEST_SIDE = 1600;

const byId = (id) => document.getElementById(id);
const pad = byId("pad");
const canvas = byId("ink");
const picture = byId("picture");
const pen = canvas.getContext("2d");

let strokes = [];
let stroke = null;
let image = null;
let timer = 0;
let asking = new AbortController();
let repeat = () => {};

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function draw(context, side, colour) {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = WIDTH * side;
  context.lineCap = context.lineJoin = "round";
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(points[0][0] * side, points[0][1] * side);
    // Through the middles of what was recorded: a smooth line.
    for (let n = 1; n < points.length - 1; n += 1) {
      const [x, y] = points[n];
      const [nextX, nextY] = points[n + 1];
      context.quadraticCurveTo(x * side, y * side, ((x + nextX) / 2) * side, ((y + nextY) / 2) * side);
    }
    const [x, y] = points[points.length - 1];
    context.lineTo(x * side, y * side);
    context.stroke();
  }
}

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  draw(pen, canvas.width, getComputedStyle(document.documentElement).getPropertyValue("--ink"));
  byId("undo").disabled = !strokes.length;
}

function inkBlob() {
  const paper = document.createElement("canvas");
  paper.width = paper.height = 256;
  const context = paper.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, 256, 256);
  draw(context, 256, "#000");
  return new Promise((done) => paper.toBlob(done, "image/png"));
}

function wipeAnswer() {
  asking.abort();
  clearTimeout(timer);
  byId("best").innerHTML = '<span class="ghost">字</span>';
  byId("best").className = "best";
  byId("readings").replaceChildren();
  note(byId("recognise-note"), "");
  repeat = () => {};
}

function dropPicture() {
  if (image) URL.revokeObjectURL(image);
  image = null;
  picture.hidden = true;
}

async function recognise(blob) {
  asking.abort();
  asking = new AbortController();
  repeat = () => recognise(blob);
  const allowed = byId("allowed").value;
  const query = allowed ? `?allowed=${allowed}` : "";
  const message = byId("recognise-note");
  try {
    const { answer, ms } = await ask(`/v1/recognize${query}`, blob, blob.type || "application/octet-stream", asking.signal);
    byId("best").textContent = answer.candidates[0].text;
    byId("best").className = answer.rejected ? "best rejected" : "best";
    showBars(byId("readings"), answer.candidates);
    note(message, answer.rejected ? say("rejected") : made("ocr", answer, ms));
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("readings").replaceChildren();
    byId("best").textContent = "";
    note(message, error instanceof Failed ? error.message : say("tooLarge"), true);
  }
}

// Photographs have more pixels than the server takes, and than it needs.
async function shrunk(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap || Math.max(bitmap.width, bitmap.height) <= LARGEST_SIDE) return file;
  const scale = LARGEST_SIDE / Math.max(bitmap.width, bitmap.height);
  const small = document.createElement("canvas");
  small.width = Math.round(bitmap.width * scale);
  small.height = Math.round(bitmap.height * scale);
  small.getContext("2d").drawImage(bitmap, 0, 0, small.width, small.height);
  return new Promise((done) => small.toBlob(done, "image/png"));
}

async function take(file) {
  strokes = [];
  redraw();
  dropPicture();
  wipeAnswer();
  image = URL.createObjectURL(file);
  picture.src = image;
  picture.hidden = false;
  await recognise(await shrunk(file));
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(async () => recognise(await inkBlob()), WAIT_MS);
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  event.preventDefault();
  if (image) {
    dropPicture();
    wipeAnswer();
  }
  clearTimeout(timer);
  try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that a script made */ }
  stroke = [place(event)];
  strokes.push(stroke);
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) stroke.push(place(each));
  redraw();
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, () => {
    if (!stroke) return;
    stroke = null;
    soon();
  });
}

function undo() {
  strokes.pop();
  redraw();
  if (strokes.length) soon();
  else wipeAnswer();
}

function clear() {
  strokes = [];
  redraw();
  dropPicture();
  wipeAnswer();
}

byId("undo").addEventListener("click", undo);
byId("clear").addEventListener("click", clear);
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Delete") clear();
  if (event.key === "Backspace") undo();
});
for (const id of ["file", "photo"]) {
  byId(id).addEventListener("change", (event) => {
    if (event.target.files.length) take(event.target.files[0]);
    event.target.value = "";
  });
}
byId("allowed").addEventListener("change", () => repeat());
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) {
    event.preventDefault();
    take(file);
  }
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  pad.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) pad.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  pad.classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
});

onLanguage(() => repeat());
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
redraw();
