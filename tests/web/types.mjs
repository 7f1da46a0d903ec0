// Makes `api.d.ts`, the types of what the daemon answers, out of its OpenAPI document:
//   curl -s http://127.0.0.1:4817/api/v1/openapi.json | node tests/web/types.mjs > tests/web/api.d.ts

/** @param {any} schema @returns {string} */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  for (const [name, between] of [["oneOf", " | "], ["anyOf", " | "], ["allOf", " & "]]) {
    if (schema[name]) return schema[name].map((/** @type {any} */ one) => `(${typeOf(one)})`).join(between);
  }
  if (Array.isArray(schema.type)) {
    return schema.type.map((/** @type {string} */ type) => typeOf({ ...schema, type })).join(" | ");
  }
  switch (schema.type) {
    case "string": return "string";
    case "integer": case "number": return "number";
    case "boolean": return "boolean";
    case "null": return "null";
    case "array": return `(${typeOf(schema.items)})[]`;
    case "object": {
      const rest = schema.additionalProperties;
      const needed = new Set(schema.required ?? []);
      const own = Object.entries(schema.properties ?? {}).map(([name, value]) => `${name}${needed.has(name) ? "" : "?"}: ${typeOf(value)}`);
      if (rest && typeof rest === "object") own.push(`[name: string]: ${typeOf(rest)}`);
      return own.length ? `{ ${own.join("; ")} }` : "Record<string, any>";
    }
    default: return "any";
  }
}

/** @param {any} document */
export function typesOf(document) {
  const lines = Object.entries(document.components.schemas)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, schema]) => `  type ${name} = ${typeOf(schema)};`);
  return `// Made by types.mjs out of the OpenAPI document: what the daemon sends and takes.\ndeclare namespace Api {\n${lines.join("\n")}\n}\n`;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  let sent = "";
  for await (const part of process.stdin) sent += part;
  process.stdout.write(typesOf(JSON.parse(sent)));
}
