// A relay over WebSockets: the path is the room, and what a member says goes to the others in it.
// With `?echo` a client hears itself too. Usage: node ws.js PORT
const { WebSocketServer } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });

server.on("connection", (socket, request) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const echo = searchParams.has("echo");
  socket.on("error", () => {});
  if (pathname === "/") return;
  if (!rooms.has(pathname)) rooms.set(pathname, new Set());
  const room = rooms.get(pathname);
  room.add(socket);
  socket.on("message", (data, isBinary) => {
    for (const member of room) {
      if (echo || member !== socket) member.send(data, { binary: isBinary });
    }
  });
  socket.on("close", () => {
    room.delete(socket);
    if (room.size === 0) rooms.delete(pathname);
  });
  // The seat is taken: what is said from now on is heard.
  socket.send("joined");
});
