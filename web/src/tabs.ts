// Messages between the windows of this browser about conversations that have changed.

export type News = { id: string; what: "changed" | "removed" | "named" };

const channel = new BroadcastChannel("outcrop-conversations");

export function tellTabs(news: News): void {
  channel.postMessage(news);
}

export function listenTabs(heard: (news: News) => void): void {
  channel.addEventListener("message", ({ data }: MessageEvent<News>) => heard(data));
}
