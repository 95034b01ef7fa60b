const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `999 bytes`, `1.5 MiB`. */
export function sizeText(bytes: number): string {
  const unit = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const amount = bytes / 1024 ** unit;
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${UNITS[unit]}`;
}

/** Of so many bytes in so many milliseconds: `12.0 MiB/s`. */
export function rateText(bytes: number, ms: number): string {
  return `${sizeText((bytes * 1000) / Math.max(1, ms))}/s`;
}
