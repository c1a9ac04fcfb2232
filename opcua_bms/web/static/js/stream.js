// The line to the server: frames in order, and a new line when the old one breaks.

const SILENCE_MS = 40000;
const HIDDEN_MS = 60000; // a browser has few connections to one server: tabs that nobody looks at give theirs back

export function follow(plant, onLink) {
  let source, queue = Promise.resolve(), heard = Date.now(), resting = false, nap;

  const open = () => {
    source = new EventSource("api/events");
    source.addEventListener("frame", (event) => {
      heard = Date.now();
      const mine = source;
      queue = queue.then(async () => {
        if (mine !== source) return;
        const frame = JSON.parse(event.data);
        if (frame.epoch !== plant.epoch) {
          location.reload(); // another program answers: its page may be another one too
          return;
        }
        if (await plant.take(frame)) onLink("live");
        else reopen(0);
      });
    });
    source.onerror = () => {
      if (resting) return;
      onLink("lost");
      if (source.readyState === EventSource.CLOSED) reopen(3000);
    };
  };
  const reopen = (wait) => {
    source.close();
    setTimeout(open, wait);
  };
  open();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(nap);
    if (document.hidden) {
      nap = setTimeout(() => {
        resting = true;
        source.close();
      }, HIDDEN_MS);
    } else if (resting) {
      resting = false;
      heard = Date.now();
      open();
    }
  });
  setInterval(() => {
    const quiet = Math.max(SILENCE_MS, 3000 * plant.period_s);
    if (!resting && Date.now() - heard > quiet) {
      heard = Date.now();
      onLink("lost");
      reopen(0);
    }
  }, 5000);
}
