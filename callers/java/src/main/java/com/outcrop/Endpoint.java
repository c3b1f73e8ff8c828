package com.outcrop;

import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.util.regex.Pattern;

/** An address with its security. Without a scheme it has no TLS on this machine, and TLS elsewhere. */
record Endpoint(String text, String target, boolean isEncrypted, boolean isLocal) {
  private static final Pattern ADDRESS = Pattern.compile("[0-9.]+|\\[.*]");

  static Endpoint of(String text) {
    boolean hasScheme = text.contains("://");
    URI uri = parse(hasScheme ? text : "any://" + text, text);
    String host = uri.getHost();
    String path = uri.getRawPath();
    boolean hasRest = !(path == null || path.isEmpty() || path.equals("/")) || uri.getRawQuery() != null || uri.getRawUserInfo() != null;
    if (host == null || hasRest) {
      throw wrong(text);
    }
    boolean isLocal = isLoopback(host);
    String scheme = hasScheme ? uri.getScheme() : isLocal ? "http" : "https";
    boolean isEncrypted = scheme.equals("https");
    if (!isEncrypted && !scheme.equals("http")) {
      throw wrong(text);
    }
    int port = uri.getPort() >= 0 ? uri.getPort() : isEncrypted ? 443 : 80;
    return new Endpoint(text, host + ":" + port, isEncrypted, isLocal);
  }

  /** A name is not looked up, so only addresses and {@code localhost} are known to be on this machine. */
  private static boolean isLoopback(String host) {
    if (!ADDRESS.matcher(host).matches()) {
      return host.equals("localhost");
    }
    try {
      return InetAddress.getByName(host).isLoopbackAddress();
    } catch (UnknownHostException error) {
      return false;
    }
  }

  private static URI parse(String uri, String text) {
    try {
      return new URI(uri);
    } catch (URISyntaxException error) {
      throw wrong(text);
    }
  }

  private static IllegalArgumentException wrong(String text) {
    return new IllegalArgumentException(
        "\"" + text + "\" is not an endpoint: write http://HOST:PORT (not encrypted) or https://HOST:PORT (TLS)");
  }
}
