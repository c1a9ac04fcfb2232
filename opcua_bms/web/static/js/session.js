// Who is logged in, and requests that change something.

class Session extends EventTarget {
  user = null;
  operates = false;
  csrf = "";

  take(told) {
    this.user = told.user;
    this.operates = told.operates;
    this.csrf = told.csrf;
    this.dispatchEvent(new Event("change"));
  }

  async look() {
    const answer = await fetch("api/session");
    if (answer.ok) this.take(await answer.json());
  }

  async login(user, password) {
    this.take(await send("POST", "api/session", { user, password }));
  }

  async logout() {
    this.take(await send("DELETE", "api/session"));
  }

  operate(body) {
    return send("POST", "api/alarms", body);
  }
}

async function send(method, url, body) {
  const headers = { "X-CSRF-Token": session.csrf };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    if (answer.status === 401 && session.user) session.take({ user: null, operates: false, csrf: "" });
    throw new Error(told.error ?? `the server answers ${answer.status}`);
  }
  return told;
}

export const session = new Session();

export function loginDialog() {
  const dialog = document.getElementById("login-dialog"), form = document.getElementById("login-form");
  const problem = document.getElementById("login-problem"), button = document.getElementById("login");
  button.addEventListener("click", async () => {
    if (session.user) {
      await session.logout().catch(() => session.look());
      return;
    }
    problem.textContent = "";
    form.reset();
    dialog.showModal();
  });
  document.getElementById("login-cancel").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await session.login(form.elements.user.value, form.elements.password.value);
      form.reset();
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  session.addEventListener("change", () => {
    button.textContent = session.user ? `Log out ${session.user}` : "Log in";
  });
}

export function actDialog(plant) {
  const element = (id) => document.getElementById(id);
  const dialog = element("act-dialog");
  let wanted = null;
  element("act-cancel").addEventListener("click", () => dialog.close());
  element("act-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const alarm = plant.alarms.get(wanted.key);
    if (!alarm) {
      element("act-problem").textContent = "it is gone";
      return;
    }
    try {
      await session.operate({
        id: alarm.id,
        command: wanted.command,
        event: alarm.event,
        comment: element("act-comment").value || null,
        minutes: wanted.command === "TimedShelve" ? Number(element("act-minutes").value) : 0,
      });
      dialog.close();
    } catch (error) {
      element("act-problem").textContent = error.message;
    }
  });
  return (command, key) => {
    wanted = { command, key };
    const name = { TimedShelve: "Shelve", Unshelve: "Unshelve" }[command] ?? command;
    element("act-title").textContent = name;
    element("act-do").textContent = name;
    element("act-what").textContent = plant.alarms.get(key)?.message ?? "";
    element("act-minutes-label").hidden = command !== "TimedShelve";
    element("act-comment").value = "";
    element("act-problem").textContent = "";
    dialog.showModal();
  };
}
