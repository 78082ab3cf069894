// Removes what must not leave the node from a text: passwords, keys, tokens, user names in URLs. Pure.
//
// By the form of the text, not by its source: logs and outputs of other programs go through it too. Certificates stay:
// they are public.

const REMOVED = '<removed>';

/** Each with what replaces it; groups keep what names the thing. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(?:-----END \1-----|$)/g, `-----BEGIN $1-----${REMOVED}`],
  // https://user:password@host
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@:"']+:[^\s/@"']+@/gi, `$1${REMOVED}@`],
  // "password": "x", password=x, --etcd-password x, ETCD_PASSWORD=x
  [
    /(["']?[\w.-]*(?:password|passwd|secret|token|api[_-]?key|private[_-]?key)["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;}]+)/gi,
    `$1"${REMOVED}"`,
  ],
  [/(--[\w-]*(?:password|secret|token)\s+)\S+/gi, `$1${REMOVED}`],
  [/(\bauthorization["']?\s*[:=]\s*["']?(?:bearer|basic)\s+)[^\s"',]+/gi, `$1${REMOVED}`],
];

/** The text without secrets. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((rest, [pattern, replacement]) => rest.replaceAll(pattern, replacement), text);
}
