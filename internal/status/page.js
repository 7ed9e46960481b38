
async function refresh() {
  try {
    const reply = await fetch(location.href, {headers: {Accept: 'text/html'}});
    if (!reply.ok) throw reply.status;
    const newer = new DOMParser().parseFromString(await reply.text(), 'text/html');
    for (const part of document.querySelectorAll('[id]')) part.replaceWith(newer.getElementById(part.id));
    document.body.className = '';
  } catch {
    document.body.className = 'stale';
  }
  setTimeout(refresh, document.hidden ? 10000 : 1000);
}
setTimeout(refresh, 1000);
