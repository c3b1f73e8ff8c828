// What the server says to a browser, without one.
import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { serve } from "./harness.mjs";

const GENERATE = "/outcrop.v1.GenerationService/Generate";
/** A gRPC frame around `prompt: "hi"`. */
const HI = Buffer.from([0, 0, 0, 0, 4, 0x12, 2, 0x68, 0x69]);
let server;
before(async () => {
  server = await serve(["--local"]);
});
after(() => server.stop());

/** One request as it is, with nothing that fetch would add or forbid. */
function request(path, { method = "GET", headers = {}, body, url = server.url } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request(url + path, { method, headers, agent: false }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => {
        const bytes = Buffer.concat(pieces);
        resolve({ status: answer.statusCode, headers: answer.headers, bytes, text: bytes.toString("latin1") });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const call = (path, headers = {}, body = HI) =>
  request(path, { method: "POST", headers: { "content-type": "application/grpc-web+proto", ...headers }, body });

test("every file has its type and the strict headers", async () => {
  const index = await request("/");
  const named = [...index.text.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, path]) => `/${path}`);
  assert(named.length >= 4, `${named}`);
  const types = {
    "/": "text/html",
    css: "text/css",
    js: "text/javascript",
    svg: "image/svg+xml",
    png: "image/png",
    webmanifest: "application/manifest+json",
  };
  for (const path of ["/", "/markdown.js", ...named]) {
    const { status, headers } = await request(path);
    assert.equal(status, 200, path);
    assert(headers["content-type"].startsWith(types[path === "/" ? "/" : path.split(".").pop()]), path);
    assert.equal(
      headers["content-security-policy"],
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
        "require-trusted-types-for 'script'; trusted-types dompurify outcrop",
    );
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert(!("access-control-allow-origin" in headers));
  }
});

test("the files hold no inline script, no inline style and no source map", async () => {
  const { text } = await request("/");
  assert(!/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i.test(text));
  for (const path of ["/page.js", "/markdown.js", "/theme.js", "/page.css"]) {
    assert(!(await request(path)).text.includes("sourceMappingURL"), path);
  }
});

test("a file that the browser has is not sent again, and HEAD brings no body", async () => {
  const { headers, bytes } = await request("/page.js");
  const again = await request("/page.js", { headers: { "if-none-match": headers.etag } });
  assert.deepEqual([again.status, again.bytes.length], [304, 0]);
  const head = await request("/page.js", { method: "HEAD" });
  assert.deepEqual([head.status, head.bytes.length, head.headers["content-length"]], [200, 0, String(bytes.length)]);
});

test("files are compressed for those that take gzip, and the same when they are not", async (context) => {
  let load = 0;
  for (const path of [
    "/",
    "/page.js",
    "/page.css",
    "/theme.js",
    "/markdown.js",
    "/icon.svg",
    "/maths.js",
    "/code.js",
  ]) {
    const plain = await request(path);
    const { headers, bytes } = await request(path, { headers: { "accept-encoding": "br, gzip;q=0.8" } });
    assert.equal(plain.headers["content-encoding"], undefined);
    assert.equal(headers.vary, "accept-encoding");
    const gzip = headers["content-encoding"] === "gzip";
    assert.deepEqual(gzip ? gunzipSync(bytes) : bytes, plain.bytes, path);
    if (gzip) assert.notEqual(headers.etag, plain.headers.etag, "a cache must not take one for the other");
    if (!/maths|code/.test(path)) load += bytes.length;
    context.diagnostic(`${path}: ${plain.bytes.length} bytes, ${bytes.length} sent`);
  }
  for (const [accepted, compressed] of [
    ["GZIP;q=0.5", true],
    ["gzip;q=0", false],
    ["gzip;q=0.000, identity", false],
    ["x-gzip", false],
    ["gzip;q=many", false],
  ]) {
    const { headers } = await request("/page.js", { headers: { "accept-encoding": accepted } });
    assert.equal(headers["content-encoding"] === "gzip", compressed, accepted);
  }
  context.diagnostic(`needed at load: ${load} bytes`);
  assert(load < 150_000, `${load} bytes are needed before the page can be used`);
});

test("what is no file and no call is told what this port is, and where the page is", async () => {
  for (const [path, method] of [
    ["/elsewhere", "GET"],
    ["/", "POST"],
    ["/page.js", "PUT"],
    [GENERATE, "OPTIONS"],
  ]) {
    const { status, text, headers } = await request(path, { method });
    assert.equal(status, 426, `${method} ${path}`);
    assert(text.includes("This port speaks gRPC") && text.includes("a web page at /"), text);
    assert(!("access-control-allow-origin" in headers));
  }
});

test("gRPC-Web is answered over HTTP/1.1, and its trailers come in the body", async () => {
  const { status, headers, text } = await call(GENERATE, { origin: server.url });
  assert.equal(status, 200);
  assert(headers["content-type"].startsWith("application/grpc-web"));
  assert(text.includes("grpc-status:0"), text.slice(-100));
  assert(!("access-control-allow-origin" in headers));
});

test("gRPC-Web is answered over HTTP/2", async () => {
  const session = http2.connect(server.url);
  const stream = session.request({ ":method": "POST", ":path": GENERATE, "content-type": "application/grpc-web" });
  stream.end(HI);
  let text = "";
  for await (const piece of stream) text += piece.toString("latin1");
  session.close();
  assert(text.includes("grpc-status:0"), text.slice(-100));
});

test("a page of another origin is refused", async () => {
  for (const origin of ["http://evil.example", "null", "http://127.0.0.1:1", `${server.url}.evil.example`]) {
    const { status, headers, text } = await call(GENERATE, { origin });
    assert.equal(status, 200, "a gRPC-Web status has the HTTP status 200");
    const told = `${JSON.stringify(headers)}${text}`;
    assert.match(told, /grpc-status"?:"?\s*7/, origin);
    assert(told.includes("may%20not%20call%20this%20server"), told);
  }
});

test("every status has its reason over gRPC-Web too", async () => {
  const reason = async (path, headers, body) => {
    const { headers: told, text } = await call(path, headers, body);
    const details = told["grpc-status-details-bin"] ?? /grpc-status-details-bin:\s*(\S+)/.exec(text)?.[1] ?? "";
    return Buffer.from(details, "base64").toString("latin1");
  };
  assert.match(await reason("/outcrop.v1.GenerationService/Create"), /UNKNOWN_METHOD/);
  assert.match(await reason(GENERATE, {}, Buffer.from([0, 0, 0, 0, 0])), /INVALID_REQUEST/);
  assert.match(await reason(GENERATE, {}, Buffer.from([0, 0, 0, 0, 1, 0xff])), /MALFORMED_REQUEST/);
  assert.match(await reason(GENERATE, { "grpc-timeout": "100m" }), /CALLER_DEADLINE/);
});

test("--no-page serves neither page nor gRPC-Web", async () => {
  const bare = await serve(["--local", "--no-page"]);
  try {
    const { status, text } = await request("/", { url: bare.url });
    assert.equal(status, 426);
    assert(!text.includes("page"), text);
    const headers = { "content-type": "application/grpc-web+proto" };
    assert.equal((await request(GENERATE, { method: "POST", headers, body: HI, url: bare.url })).status, 426);
  } finally {
    await bare.stop();
  }
});
