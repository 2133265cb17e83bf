// Language, light and dark, the token; the rest is in draw.js and fill.js.

import "./draw.js";
import "./fill.js";
import { useToken } from "./ask.js";
import { keep, keptTheme, onLanguage, otherLanguage, say, speak } from "./words.js";

const root = document.documentElement;

if (keptTheme()) root.dataset.theme = keptTheme();
document.getElementById("theme").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  keep("theme", root.dataset.theme);
});

const language = document.getElementById("language");
language.addEventListener("click", () => speak(otherLanguage()));
onLanguage(() => {
  language.textContent = say("language");
  language.lang = otherLanguage();
});
document.getElementById("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(document.getElementById("token").value);
  event.target.hidden = true;
});
speak();
