/** The page's elements. Text comes in through `textContent` alone, so nothing that a file says can become markup. */

type Attributes = { readonly [name: string]: string | number | boolean };

/** An element of `tag` with attributes (false leaves one out) and children, which are nodes or plain text. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) {
      made.setAttribute(name, value === true ? '' : String(value));
    }
  }
  made.append(...children.map(child => (typeof child === 'string' ? document.createTextNode(child) : child)));
  return made;
}

/** A number with its unit, which stay on one line. */
const FIGURE = /^[−-]?[\d.,]+ (B|bytes|[KMGTP]iB|%)$/;

/** A table with a caption, of plain texts: the first row names the columns, the first cell of each other names it. */
export function textTable(caption: string, rows: ReadonlyArray<ReadonlyArray<string>>): HTMLTableElement {
  const [head, ...body] = rows;
  return element(
    'table',
    { class: 'roam-texttable' },
    element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...head.map(text => element('th', { scope: 'col' }, text)))),
    element(
      'tbody',
      {},
      ...body.map(([name, ...cells]) =>
        element('tr', {}, element('th', { scope: 'row' }, name), ...cells.map(cellOf))
      )
    )
  );
}

function cellOf(text: string): HTMLElement {
  return element('td', FIGURE.test(text) ? { class: 'roam-mod-figure' } : {}, text);
}

let made = 0;

/** An id that no other element of this page has. */
export function freshId(what: string): string {
  made += 1;
  return `roam-${what}-${made}`;
}
