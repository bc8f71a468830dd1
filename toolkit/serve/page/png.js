// The numbers in a palette or gray PNG. A canvas would give the colors of the palette instead.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/**
 * `{width, height, data}` of the bytes of a PNG with one channel of up to 8 bits, not interlaced: one number
 * per pixel, row by row. Throws a RangeError for any other.
 */
export async function readIndexes(bytes) {
  if (!SIGNATURE.every((value, index) => bytes[index] === value)) throw new RangeError("not a PNG");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packed = [];
  let header = null;
  for (let place = SIGNATURE.length; place + 12 <= bytes.length; ) {
    const length = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (kind === "IHDR") header = readHeader(view, place + 8);
    if (kind === "IDAT") packed.push(bytes.subarray(place + 8, place + 8 + length));
    place += 12 + length;
  }
  if (!header) throw new RangeError("a PNG without a header");
  const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width: header.width, height: header.height, data: unfiltered(rows, header) };
}

function readHeader(view, place) {
  const [depth, color, , , interlace] = [8, 9, 10, 11, 12].map((offset) => view.getUint8(place + offset));
  if (depth > 8 || (color !== 0 && color !== 3) || interlace) {
    throw new RangeError(`a PNG of color type ${color} with ${depth} bits, not one number per pixel`);
  }
  return { width: view.getUint32(place), height: view.getUint32(place + 4), depth };
}

function unfiltered(rows, { width, height, depth }) {
  const stride = Math.ceil((width * depth) / 8);
  if (rows.length !== height * (stride + 1)) throw new RangeError("a PNG that is cut off");
  const data = new Uint8Array(width * height);
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y += 1) {
    const start = y * (stride + 1);
    const row = rows.subarray(start + 1, start + 1 + stride);
    unfilter(row, above, rows[start]);
    if (depth === 8) data.set(row, y * width);
    else for (let x = 0; x < width; x += 1) data[y * width + x] = bitsAt(row, x, depth);
    above = row;
  }
  return data;
}

function bitsAt(row, x, depth) {
  const perByte = 8 / depth;
  const shift = 8 - depth * ((x % perByte) + 1);
  return (row[Math.floor(x / perByte)] >> shift) & ((1 << depth) - 1);
}

function unfilter(row, above, filter) {
  if (filter === 0) return;
  for (let i = 0; i < row.length; i += 1) {
    const left = i ? row[i - 1] : 0;
    const up = above[i];
    const corner = i ? above[i - 1] : 0;
    if (filter === 1) row[i] += left;
    else if (filter === 2) row[i] += up;
    else if (filter === 3) row[i] += (left + up) >> 1;
    else row[i] += nearest(left, up, corner);
  }
}

// Of the three neighbors, the one that is nearest to left + up - corner.
function nearest(left, up, corner) {
  const dLeft = Math.abs(up - corner);
  const dUp = Math.abs(left - corner);
  const dCorner = Math.abs(left + up - 2 * corner);
  if (dLeft <= dUp && dLeft <= dCorner) return left;
  return dUp <= dCorner ? up : corner;
}
