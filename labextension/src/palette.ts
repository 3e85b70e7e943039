/**
 * Okabe-Ito colours, each with a pattern or dash of its own, so that nothing is told by colour alone; kinds and lines
 * look as in roam_lab/report/views/look.py.
 */

import { element } from './element';

export type Pattern = 'plain' | 'rising' | 'falling' | 'dots' | 'cross' | 'bars' | 'plus' | 'rings';

export interface IKindStyle {
  readonly colour: string;
  readonly pattern: Pattern;
}

const KINDS: ReadonlyMap<string, IKindStyle> = new Map([
  ['activation', { colour: '#56b4e9', pattern: 'plain' }],
  ['gradient', { colour: '#e69f00', pattern: 'rising' }],
  ['temporary', { colour: '#009e73', pattern: 'dots' }],
  ['workspace', { colour: '#cc79a7', pattern: 'cross' }],
  ['output', { colour: '#d55e00', pattern: 'bars' }],
  ['recomputed', { colour: '#0072b2', pattern: 'plus' }],
  ['offloaded', { colour: '#f0e442', pattern: 'rings' }]
]);
const OTHER: IKindStyle = { colour: '#999999', pattern: 'falling' };

/** How storages of this kind are filled; unknown kinds are grey. */
export function kindStyle(kind: string): IKindStyle {
  return KINDS.get(kind) ?? OTHER;
}

export interface ILineStyle {
  readonly light: string;
  readonly dark: string;
  readonly dash: ReadonlyArray<number>;
  readonly width: number;
}

/** Lines of the memory curve; the light theme's blue is too dark on black. */
export const LINES = {
  captured: { light: '#d55e00', dark: '#e69f00', dash: [7, 4], width: 1.5 },
  planned: { light: '#0072b2', dark: '#56b4e9', dash: [], width: 2 },
  bound: { light: '#009e73', dark: '#009e73', dash: [2, 3], width: 2 },
  other: { light: '#a8487f', dark: '#cc79a7', dash: [10, 3, 2, 3], width: 2 },
  otherBound: { light: '#a8487f', dark: '#cc79a7', dash: [2, 5], width: 1.5 }
} as const;

/** The theme's colours as they are now, read from where `node` stands. */
export class Theme {
  constructor(node: HTMLElement) {
    const style = getComputedStyle(node);
    const read = (name: string, fallback: string) => style.getPropertyValue(name).trim() || fallback;
    this.text = read('--jp-ui-font-color1', '#212121');
    this.faint = read('--jp-ui-font-color2', '#616161');
    this.grid = read('--jp-border-color2', '#e0e0e0');
    this.back = read('--jp-layout-color0', '#ffffff');
    this.font = `11px ${read('--jp-ui-font-family', 'sans-serif')}`;
    this.dark = document.body.dataset.jpThemeLight === 'false';
  }

  line(style: ILineStyle): string {
    return this.dark ? style.dark : style.light;
  }

  readonly text: string;
  readonly faint: string;
  readonly grid: string;
  readonly back: string;
  readonly font: string;
  readonly dark: boolean;
}

const MARKS: { readonly [pattern in Pattern]: (draw: CanvasRenderingContext2D) => void } = {
  rising: draw => strokes(draw, [[-1, 9, 9, -1], [-1, 1, 1, -1], [7, 9, 9, 7]]),
  falling: draw => strokes(draw, [[-1, -1, 9, 9], [-1, 7, 1, 9], [7, -1, 9, 1]]),
  cross: draw => strokes(draw, [[-1, -1, 9, 9], [-1, 9, 9, -1]]),
  bars: draw => strokes(draw, [[4, 0, 4, 8]]),
  plus: draw => strokes(draw, [[4, 0, 4, 8], [0, 4, 8, 4]]),
  rings: draw => draw.strokeRect(2.5, 2.5, 3, 3),
  dots: draw => [[2, 2], [6, 6]].forEach(([x, y]) => draw.fillRect(x - 1, y - 1, 2, 2)),
  plain: () => undefined
};

function strokes(draw: CanvasRenderingContext2D, lines: ReadonlyArray<ReadonlyArray<number>>): void {
  draw.lineWidth = 1;
  draw.beginPath();
  for (const [x0, y0, x1, y1] of lines) {
    draw.moveTo(x0, y0);
    draw.lineTo(x1, y1);
  }
  draw.stroke();
}

/** An 8 x 8 tile of the kind's colour and pattern, as a fill of `context`. */
export function patternFill(context: CanvasRenderingContext2D, style: IKindStyle): CanvasPattern | string {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 8;
  const draw = tile.getContext('2d');
  if (!draw) {
    return style.colour;
  }
  draw.fillStyle = style.colour;
  draw.fillRect(0, 0, 8, 8);
  draw.fillStyle = draw.strokeStyle = 'rgba(0, 0, 0, 0.45)';
  MARKS[style.pattern](draw);
  return context.createPattern(tile, 'repeat') ?? style.colour;
}

/** A legend's entry: its name, and a swatch to be drawn on. */
export interface ILegendEntry {
  readonly node: HTMLElement;
  readonly paint: (theme: Theme) => void;
}

/** An entry for a line of that style. */
export function lineEntry(name: string, style: ILineStyle): ILegendEntry {
  return legendEntry(name, (context, theme, width, height) => {
    context.strokeStyle = theme.line(style);
    context.lineWidth = style.width;
    context.setLineDash([...style.dash]);
    context.beginPath();
    context.moveTo(0, height / 2);
    context.lineTo(width, height / 2);
    context.stroke();
  });
}

/** An entry for storages of that style. */
export function kindEntry(name: string, style: IKindStyle): ILegendEntry {
  return legendEntry(name, (context, _, width, height) => {
    context.fillStyle = patternFill(context, style);
    context.fillRect(0, 0, width, height);
  });
}

function legendEntry(
  name: string,
  draw: (context: CanvasRenderingContext2D, theme: Theme, width: number, height: number) => void
): ILegendEntry {
  const [width, height] = [30, 12];
  const swatch = element('canvas', { width, height, 'aria-hidden': 'true' });
  const context = swatch.getContext('2d');
  return {
    node: element('span', { class: 'roam-legend-entry' }, swatch, name),
    paint: theme => {
      context?.clearRect(0, 0, width, height);
      context && draw(context, theme, width, height);
    }
  };
}
