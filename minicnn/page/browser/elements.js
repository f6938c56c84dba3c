// Making elements. Text comes in as text, never as markup: a layer's name can be anything.

/** An element with properties, attributes ("aria-…", "data-…", "for", "role") and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const byId = (id) => document.getElementById(id);

/** Gives an element new children. */
const fill = (parent, ...children) => parent.replaceChildren(...children.flat().filter((child) => child !== null));

/** Gives an element another text; one that is the same costs no layout. */
function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** The bytes of a base64 text. */
function readBytes(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** A function that is called at most once a frame, with what it was told last. */
function oncePerFrame(act) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      act();
    });
  };
}
