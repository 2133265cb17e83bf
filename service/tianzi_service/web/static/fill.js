// The passage: words that are blanked by a click, answers in the blanks, and shading of where an answer comes from.

import { Failed, ask, made, note, showBars } from "./ask.js";
import { onLanguage, say } from "./words.js";

const WAIT_MS = 450;
const BLANK = "[MASK]"; // two side by side stay two, as ____ would not
const SHOWN_BLANK = "____";
const BLANKS = /X{5,}|_{2,}|\[MASK\]|（[ \u3000]+）|\([ \u3000]+\)/g;
const CANDIDATES = 8;
const EXAMPLES = [
  "狐狸看见架子上挂着一串串葡萄，跳了好几次，怎么也够不着____，只好走开了，说：“这些葡萄一定是酸的。”",
  "小熊种了一棵苹果树。它天天给____浇水。到了秋天，树上结满了苹果，小熊摘下____，分给了小兔和小鹿。",
  "小女孩在河边放风筝。一阵大风吹来，线断了，风筝飘过了小河。小女孩哭了起来，老船夫听见了，就划着船去河对岸，把____捡了回来。",
];

const byId = (id) => document.getElementById(id);
const area = byId("text");
const passage = byId("passage");

// Each part is a word, a blank (with the word it had, if it had one), or what stands between words.
let parts = [];
let answer = null;
let took = 0;
let chosen = 0;
let focused = 0;
let timer = 0;
let asking = new AbortController();

function segments(text) {
  if (!window.Intl?.Segmenter) return [...text].map((segment) => ({ segment, isWordLike: /\p{L}|\p{N}/u.test(segment) }));
  return [...new Intl.Segmenter("zh", { granularity: "word" }).segment(text)];
}

function parse(text) {
  const found = [];
  let at = 0;
  const words = (stretch) => {
    for (const { segment, isWordLike } of segments(stretch)) found.push({ text: segment, word: isWordLike });
  };
  for (const match of text.matchAll(BLANKS)) {
    words(text.slice(at, match.index));
    found.push({ text: "", blank: true });
    at = match.index + match[0].length;
  }
  words(text.slice(at));
  return found;
}

function written(blank) {
  return parts.map((part) => (part.blank ? blank : part.text)).join("");
}

function forget() {
  answer = null;
  chosen = 0;
  byId("chosen").textContent = "";
  byId("words").replaceChildren();
  note(byId("fill-note"), "");
}

// How likely each code point of the text that was sent is a part of the chosen blank's answer.
function shares(length) {
  const share = new Float32Array(length);
  if (!answer) return share;
  const candidates = answer.blanks[chosen]?.candidates ?? [];
  for (const { confidence, positions } of candidates) {
    for (const { start, end } of positions) share.fill(confidence, start, Math.min(end, length));
  }
  return share;
}

function render() {
  const share = shares([...written(BLANK)].length);
  let at = 0;
  let blanks = 0;
  let stops = 0;
  const elements = parts.map((part, number) => {
    const element = document.createElement("span");
    const length = [...(part.blank ? BLANK : part.text)].length;
    if (part.blank) {
      const which = blanks++;
      const best = answer?.blanks[which]?.candidates[0]?.text;
      element.className = "blank";
      element.textContent = best ?? String(which + 1);
      if (best === undefined) element.innerHTML = `<span class="empty">${which + 1}</span>`;
      element.setAttribute("aria-current", String(Boolean(answer) && which === chosen));
      element.setAttribute("aria-label", `${say("blank")} ${which + 1}${best ? `: ${best}` : ""}`);
      element.dataset.blank = which;
    } else if (part.word) {
      element.className = "word";
      element.textContent = part.text;
      const strength = Math.max(...share.slice(at, at + length));
      if (strength > 0.004) {
        element.style.backgroundColor = `rgb(var(--shade) / ${(0.1 + 0.55 * strength).toFixed(3)})`;
        element.title = `${(100 * strength).toFixed(1)} %`;
      }
    } else {
      element.textContent = part.text;
    }
    at += length;
    if (part.blank || part.word) {
      element.setAttribute("role", "button");
      element.dataset.part = number;
      element.tabIndex = stops++ === focused ? 0 : -1;
    }
    return element;
  });
  passage.replaceChildren(...elements);
}

function stops() {
  return [...passage.querySelectorAll("[data-part]")];
}

function showChosen() {
  render();
  const blank = answer?.blanks[chosen];
  if (!blank) return;
  byId("chosen").textContent = say("chosen", { n: chosen + 1 });
  showBars(byId("words"), blank.candidates);
  note(byId("fill-note"), made("cloze", answer, took));
}

export async function fill() {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  note(byId("fill-note"), say("filling"));
  try {
    const body = JSON.stringify({ text: written(BLANK), top_k: CANDIDATES });
    const got = await ask("/v1/fill", body, "application/json", asking.signal);
    answer = got.answer;
    took = got.ms;
    chosen = Math.min(chosen, answer.blanks.length - 1);
    showChosen();
  } catch (error) {
    if (error.name === "AbortError") return;
    forget();
    render();
    note(byId("fill-note"), error instanceof Failed ? error.message : String(error), true);
  }
}

// A blank with an answer is chosen first, and brought back by a second click.
function activate(element) {
  const part = parts[element.dataset.part];
  focused = stops().indexOf(element);
  if (part.blank && answer && Number(element.dataset.blank) !== chosen) {
    chosen = Number(element.dataset.blank);
    showChosen();
  } else if (!part.blank || part.text) {
    part.blank = !part.blank;
    if (!part.blank) part.word = true;
    area.value = written(SHOWN_BLANK);
    const kept = chosen;
    forget();
    chosen = part.blank ? parts.filter((one) => one.blank).indexOf(part) : Math.max(0, kept - 1);
    render();
    clearTimeout(timer);
    if (parts.some((one) => one.blank)) timer = setTimeout(fill, WAIT_MS);
  }
  stops()[focused]?.focus();
}

passage.addEventListener("click", (event) => {
  const element = event.target.closest("[data-part]");
  if (element) activate(element);
});
passage.addEventListener("keydown", (event) => {
  const all = stops();
  const at = all.indexOf(document.activeElement);
  if (at < 0) return;
  const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -at, End: all.length - 1 - at };
  if (event.key in moves) {
    event.preventDefault();
    const next = Math.min(all.length - 1, Math.max(0, at + moves[event.key]));
    all[at].tabIndex = -1;
    all[next].tabIndex = 0;
    all[next].focus();
    focused = next;
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    activate(all[at]);
  }
});

function take(text) {
  asking.abort();
  clearTimeout(timer);
  parts = parse(text);
  focused = 0;
  forget();
  render();
}

area.addEventListener("input", () => take(area.value));
area.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) fill();
});
byId("run").addEventListener("click", fill);
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    area.value = EXAMPLES[button.dataset.example];
    take(area.value);
    fill();
  });
}
onLanguage(() => (answer ? showChosen() : render()));
area.value = EXAMPLES[0];
take(area.value);
