// Colors: far apart in hue, of about the same lightness, and always the same at a place.

const GOLDEN_ANGLE = 137.508;
const FIRST_HUE = 205;

/** `[r, g, b]`, each 0 to 255, at a place: 0, 1, 2, … */
export function colorOf(index) {
  const hue = (FIRST_HUE + GOLDEN_ANGLE * index) % 360;
  const lightness = [0.56, 0.66, 0.48][Math.floor(index / 8) % 3];
  return fromHsl(hue, 0.85, lightness);
}

export function css([r, g, b], alpha = 1) {
  return `rgb(${r} ${g} ${b} / ${alpha})`;
}

function fromHsl(hue, saturation, lightness) {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset) => {
    const place = (offset + hue / 30) % 12;
    return Math.round(255 * (lightness - reach * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
