// What the page says, in Chinese and English.

const SAID = {
  zh: {
    subtitle: "认出一个汉字，填上文中的空", docs: "接口文档", theme: "明暗", language: "English", other: "en",
    token: "此服务需要令牌：", tokenUse: "使用",
    recognise: "认字", drawHint: "用手指或鼠标写一个字，或拖入、粘贴一张图片。", pad: "书写区：可书写，也可拖入或粘贴图片",
    drop: "松开以识别", undo: "撤销一笔", clear: "清空", file: "选图片", photo: "拍照", allowed: "只可能是",
    everything: "任何字符", hanzi: "汉字", digits: "数字", letters: "字母", punctuation: "标点", plate: "车牌用字",
    rejected: "图中没有可读的单个字。最接近的是：", reading: "正在识别……",
    fill: "填空", fillHint: "粘贴一段文字，点一个词把它挖空，再点则还原。", text: "文章，空格写作 ____",
    run: "填空", examples: "示例", passage: "文章：方向键移动，回车键挖空或选中", blank: "空",
    filling: "正在填……", chosen: "第 {n} 空，底色越深的词越可能：", noBlank: "还没有空。",
    footer: "所有计算都在此服务器上进行；此页不向别处发送任何内容。",
    offline: "服务器没有回应。", made: "{model} 第 {version} 版 · {ms} 毫秒", tooLarge: "图片太大或无法读取。",
  },
  en: {
    subtitle: "Recognises a Chinese character, fills the blanks of a Chinese text", docs: "API", theme: "Light or dark",
    language: "中文", other: "zh", token: "This server asks for a token:", tokenUse: "Use",
    recognise: "Recognise a character", drawHint: "Draw one with finger or mouse; or drop, paste or choose an image.",
    pad: "Writing pad: draw here, or drop or paste an image", drop: "Let go to recognise", undo: "Undo stroke", clear: "Clear",
    file: "Choose image", photo: "Take a photo", allowed: "Can only be", everything: "any character", hanzi: "hanzi",
    digits: "digits", letters: "letters", punctuation: "punctuation", plate: "number plate",
    rejected: "No single readable character. The nearest are:", reading: "Reading …",
    fill: "Fill the blanks", fillHint: "Paste a Chinese text and click a word to blank it; click again to bring it back.",
    text: "Text, with blanks as ____", run: "Fill", examples: "Examples",
    passage: "Text: arrow keys move, Enter blanks a word or chooses a blank", blank: "blank",
    filling: "Filling …", chosen: "Blank {n}; the darker a word, the likelier it is the answer:", noBlank: "There is no blank yet.",
    footer: "All of it is computed on this server; the page sends nothing anywhere else.",
    offline: "The server does not answer.", made: "{model} version {version} · {ms} ms", tooLarge: "The image is too large or cannot be read.",
  },
};

function kept(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

export function keep(key, value) {
  try { localStorage.setItem(key, value); } catch { /* a private window */ }
}

let language = kept("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
const listeners = [];

export function say(key, values = {}) {
  return SAID[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function onLanguage(listener) {
  listeners.push(listener);
}

export function speak(wanted = language) {
  language = wanted;
  keep("language", language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    element.title = say(element.dataset.label);
  }
  for (const listener of listeners) listener();
}

export function otherLanguage() {
  return say("other");
}

export function keptTheme() {
  return kept("theme");
}
