// The server's API: relative addresses, problem documents as errors, no cookies.

const BASE = new URL('api/v1/', document.baseURI);

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.problem = problem;
    this.problems = problem.problems || [];
  }

  get offline() {
    return this.status === 0;
  }
}

function address(path, query) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query || {})) {
    if (value === null || value === undefined || value === '') continue;
    for (const one of [value].flat()) url.searchParams.append(name, one);
  }
  return url;
}

/** Send a request; returns the response, or throws an ApiError. */
export async function send(path, { method = 'GET', query, json, headers = {}, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, credentials: 'same-origin' };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers['Content-Type'] = 'application/json';
  }
  let response;
  try {
    response = await fetch(address(path, query), options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, { title: 'The server cannot be reached.' });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ title: response.statusText }));
  throw new ApiError(response.status, problem);
}

/** Send a request and read the JSON of the answer; null where there is none. */
export async function ask(path, options) {
  const response = await send(path, options);
  return response.status === 204 ? null : response.json();
}

/** A file's bytes, unpacked, with the response's headers and the bytes that were sent. */
export async function bytes(path, query) {
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  const format = local ? 'nii' : 'nii.gz'; // packing costs more than loopback
  const response = await send(path, { query: { ...query, format } });
  const sent = await response.arrayBuffer();
  const packed = new Uint8Array(sent, 0, Math.min(2, sent.byteLength));
  if (packed[0] !== 0x1f || packed[1] !== 0x8b) return { buffer: sent, sent: sent.byteLength, response };
  const stream = new Blob([sent]).stream().pipeThrough(new DecompressionStream('gzip'));
  return { buffer: await new Response(stream).arrayBuffer(), sent: sent.byteLength, response };
}

/** As `ask`, but null where the server has nothing of the kind. */
export async function askIfAny(path, options) {
  try {
    return await ask(path, options);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** Listen to the server's events; the browser connects again by itself. */
export function listen(handlers) {
  const source = new EventSource(address('events'));
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data || 'null')));
  }
  return source;
}
