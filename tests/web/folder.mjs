// A proxy that serves the page from a folder, so that a change of the page is tested without building the server again. Set
// OUTCROP_PAGE_FOLDER=web/dist to use it.
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { extname, join } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/** The file of the folder for a path, if there is one. */
function fileFor(folder, asked) {
  if (asked.method !== "GET") return undefined;
  const name = new URL(asked.url, "http://page").pathname.slice(1) || "index.html";
  const path = join(folder, name);
  return !name.includes("/") && TYPES[extname(name)] && existsSync(path) ? path : undefined;
}

/** Stands before `server` and serves the files of `folder` in place of the server's. */
export async function withPageOf(folder, server) {
  const proxy = http.createServer((asked, answer) => {
    const path = fileFor(folder, asked);
    // The server checks the host and sends the headers, also for a file that it does not have yet.
    const target = server.url + (path ? "/" : asked.url);
    const passed = http.request(target, { method: asked.method, headers: asked.headers, agent: false }, (told) => {
      if (!path || told.statusCode !== 200) {
        answer.writeHead(told.statusCode, told.headers);
        told.pipe(answer);
        return;
      }
      told.resume();
      const { etag: _, "content-length": __, "content-encoding": ___, ...headers } = told.headers;
      answer.writeHead(200, { ...headers, "content-type": TYPES[extname(path)] }).end(readFileSync(path));
    });
    passed.on("error", () => answer.destroy());
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const stop = async () => {
    proxy.closeAllConnections();
    proxy.close();
    await server.stop();
  };
  const url = `http://127.0.0.1:${proxy.address().port}`;
  const saying = async (pattern) => (await server.saying(pattern)).replace(server.url, url);
  return { ...server, url, saying, stop };
}
