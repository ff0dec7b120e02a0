// Elements from data, and the page brought up to date without losing focus, selection or scroll.
//
// Data becomes text nodes and attribute values only, never markup.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onpointermove", "onpointerleave", "onkeydown", "onscroll"];

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    } else if (name.startsWith("on") || name === "value" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Makes an element of HTML: `h("p", { class: "muted" }, "text", other)`. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** Makes an element of SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

const alike = (one, other) =>
  one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

/** Makes `there` look like `wanted`, and returns what stands in its place. */
export function morph(there, wanted) {
  if (!alike(there, wanted)) {
    there.replaceWith(wanted);
    return wanted;
  }
  if (there.nodeType !== Node.ELEMENT_NODE) {
    if (there.data !== wanted.data) there.data = wanted.data;
    return there;
  }
  attributes(there, wanted);
  // What is inside belongs to its page, which brings it up to date itself.
  if (!there.hasAttribute("data-own")) children(there, wanted);
  if (there.nodeName === "SELECT" && there !== document.activeElement) there.value = wanted.value;
  return there;
}

function attributes(there, wanted) {
  const kept = (name) => name === "style" || (name === "open" && there.nodeName === "DETAILS");
  for (const { name } of [...there.attributes]) {
    if (!wanted.hasAttribute(name) && !kept(name)) there.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (!kept(name) && there.getAttribute(name) !== value) there.setAttribute(name, value);
  }
  // The policy refuses the attribute; what scripts set by property it allows.
  if (there.style.cssText !== wanted.style.cssText) there.style.cssText = wanted.style.cssText;
  for (const name of HANDLERS) if (there[name] !== wanted[name]) there[name] = wanted[name];
  if (there.nodeName === "INPUT" && there !== document.activeElement) there.value = wanted.value;
  if ("disabled" in there && there.disabled !== wanted.disabled) there.disabled = wanted.disabled;
}

function children(there, wanted) {
  const keyed = new Map();
  for (const child of there.childNodes) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  let at = there.firstChild;
  for (const child of [...wanted.childNodes]) {
    const known = keyed.get(keyOf(child));
    if (known && known !== at) there.insertBefore(known, at);
    const match = known ?? at;
    if (match && alike(match, child)) {
      at = morph(match, child).nextSibling;
    } else {
      there.insertBefore(child, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
