/** Bytes and shares as people read them, in the words of roam_lab/report/units.py; exact figures stand beside them. */

const UNITS: ReadonlyArray<readonly [string, number]> = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1]
];

/** The largest binary unit that `size` bytes fill at least once: ['MiB', 1048576]. */
export function unitFor(size: number): readonly [string, number] {
  return UNITS.find(([, unit]) => size >= unit) ?? UNITS[UNITS.length - 1];
}

/** `value` with thousands separated by commas, whatever the browser's language. */
export function grouped(value: number, digits = 0): string {
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits
  });
}

/** `size` bytes in the unit that fits: '7.39 GiB', '294.3 MiB', '17 B'. */
export function bytesText(size: number): string {
  const [name, unit] = unitFor(size);
  const digits = unit === 1 ? 0 : name === 'GiB' ? 2 : 1;
  return `${grouped(size / unit, digits)} ${name}`;
}

/** `size` with every digit: '308,588,544 bytes'. */
export function exactText(size: number): string {
  return `${grouped(size)} byte${size === 1 ? '' : 's'}`;
}

/** The change from `before` to `after` in percent: '−52.7 %'; '' when there was nothing before. */
export function changeText(before: number, after: number): string {
  if (!before) {
    return '';
  }
  const change = (100 * (after - before)) / before;
  if (Math.abs(change) < 0.05) {
    return '0.0 %';
  }
  return `${change > 0 ? '+' : '−'}${grouped(Math.abs(change), 1)} %`;
}
