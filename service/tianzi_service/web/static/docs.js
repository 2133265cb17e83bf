// Shows /openapi.json: each operation, and each message with its fields.

const CURL = (origin) => `curl -F image=@zi.png ${origin}/v1/recognize
curl --data-binary @zi.png -H content-type:image/png '${origin}/v1/recognize?top_k=1'
curl --json '{"text": "小猫钓鱼，____很高兴。", "top_k": 3}' ${origin}/v1/fill
curl -F image=@tian.png -F image=@zi.png -F top_k=1 ${origin}/v1/recognize:batch`;

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  return schema.contentEncoding ?? schema.type ?? "file";
}

function fields(schema) {
  const table = element("table");
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const row = table.insertRow();
    row.insertCell().append(element("code", name));
    row.insertCell().textContent = kind(field);
    row.insertCell().textContent = field.description ?? "";
  }
  return table;
}

function operation(method, path, told) {
  const section = element("section");
  const title = element("h2");
  title.append(element("span", method.toUpperCase(), "method"), element("code", path));
  section.append(title, element("p", told.summary));
  const table = element("table");
  for (const [type, { schema }] of Object.entries(told.requestBody?.content ?? {})) {
    const row = table.insertRow();
    row.insertCell().append(element("code", type));
    row.insertCell().textContent = schema.properties ? Object.keys(schema.properties).join(", ") : kind(schema);
  }
  const answer = table.insertRow();
  answer.insertCell().textContent = "answer";
  answer.insertCell().textContent = kind(told.responses["200"].content["application/json"].schema);
  section.append(table);
  return section;
}

const spec = await (await fetch("/openapi.json")).json();
document.getElementById("curl").textContent = CURL(location.origin);
for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, told] of Object.entries(methods)) {
    document.getElementById("operations").append(operation(method, path, told));
  }
}
for (const [name, schema] of Object.entries(spec.components.schemas)) {
  const details = element("details");
  details.append(element("summary", name), element("p", schema.description ?? "", "hint"), fields(schema));
  document.getElementById("schemas").append(details);
}
