// Markup from templates: what is put into one is escaped, unless a template made it.
//
// Pure. For HTML and for SVG within it; attribute values must stand between double quotes in the template. Names in a
// result come from files that anybody may have written.

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Controls but for tab and line feed, and the marks that turn the direction of the text around them. */
const UNSHOWN = /(?![\t\n])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu;

/** Markup that is right as it stands. Only `html` and `css` make it. */
export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

export type Part = string | number | Html | readonly Part[];

/** A template's markup. Numbers are rounded to a tenth, which is less than what an eye tells apart on a screen. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  const text = strings.reduce((made, string, at) => `${made}${markupOf(parts[at - 1] ?? '')}${string}`);
  return new Html(text);
}

/** A style sheet of ours, as it stands. */
export function css(text: string): Html {
  return new Html(text);
}

/** Text as markup that shows it; unshowable characters are replaced by U+FFFD. */
export function escapeText(text: string): string {
  return text.replaceAll(UNSHOWN, '\uFFFD').replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

function markupOf(part: Part): string {
  if (typeof part === 'number') return String(Math.round(part * 10) / 10);
  if (typeof part === 'string') return escapeText(part);
  return part instanceof Html ? part.markup : part.map(markupOf).join('');
}
