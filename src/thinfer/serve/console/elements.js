// Building the page: every text goes in as text, never as markup.

const SVG = 'http://www.w3.org/2000/svg';

export const find = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === 'function') node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// `attributes` are set as they are; a function is listened to under its name.
export const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

export const drawing = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// The policy forbids style attributes; setting the property is allowed.
export function lane(share, tone = '') {
  const bar = element('i', { class: tone });
  bar.style.width = `${Math.min(1, Math.max(0, share)) * 100}%`;
  return element('span', { class: 'lane', 'aria-hidden': 'true' }, bar);
}

export function say(node, text, tone = '') {
  node.textContent = text;
  node.className = `message ${tone}`;
  node.hidden = text === '';
}

export const showPercent = (share) => `${(share * 100).toFixed(share >= 0.9995 || share === 0 ? 0 : 1)} %`;

// Four digits tell scores apart that a percentage would round together.
export const showScore = (score) => score.toFixed(4);

export function showNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en');
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function showMilliseconds(value) {
  if (value === null || value === undefined) return '–';
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ms`;
}
