// Builds nodes. Text only ever becomes text: nothing here reads markup, so that no name of a file,
// however it was made, is more than its letters.

/** @typedef {Node | string | number | null | undefined | false} Leaf */
/** Also lists of lists, as deep as they come. @typedef {Leaf | (Leaf | any[])[]} Child */
/**
 * Attributes by name. `class`, `on` (listeners), `data` (data attributes) and `css` (single style
 * properties, which the policy of the page allows to scripts) are special; `true` is an attribute
 * without value, `false` and `null` none at all.
 * @typedef {Record<string, any> & {
 *   class?: string, on?: Record<string, (event: any) => any>,
 *   data?: Record<string, string>, css?: Record<string, string>,
 * }} Props
 */

const SVG = "http://www.w3.org/2000/svg";

/** Set as properties, as the attributes only say how they begin. */
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate", "htmlFor"]);

/**
 * @param {Element} node
 * @param {Child} child
 */
function add(node, child) {
  if (Array.isArray(child)) {
    for (const one of child) add(node, one);
  } else if (child instanceof Node) {
    node.append(child);
  } else if (child !== null && child !== undefined && child !== false) {
    node.append(document.createTextNode(String(child)));
  }
}

/**
 * @param {Element} node
 * @param {Props | null} props
 */
export function set(node, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (name === "class") {
      node.setAttribute("class", value);
    } else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        node.addEventListener(event, /** @type {any} */ (listener));
      }
    } else if (name === "data") {
      Object.assign(/** @type {HTMLElement} */ (node).dataset, value);
    } else if (name === "css") {
      const style = /** @type {HTMLElement} */ (node).style;
      for (const [property, text] of Object.entries(value)) style.setProperty(property, String(text));
    } else if (PROPERTIES.has(name)) {
      /** @type {any} */ (node)[name] = value;
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
}

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  add(node, children);
  // After the children: a `select` has its value only once it has its options.
  set(node, props ?? null);
  return node;
}

/**
 * An SVG element.
 * @param {string} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  set(node, props ?? null);
  add(node, children);
  return node;
}

/**
 * The same node with other children.
 * @template {Element} N
 * @param {N} node
 * @param {...Child} children
 * @returns {N}
 */
export function fill(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

let lastId = 0;

/** An id that no other node of the page has. */
export function uniqueId(name = "id") {
  lastId += 1;
  return `${name}-${lastId}`;
}
