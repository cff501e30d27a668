// A relay over Socket.IO: what a member says goes to the others in its room.
// Usage: node socketio.js PORT
const { createServer } = require("http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: 13000 });

io.on("connection", (socket) => {
  socket.on("join", (room, echo, done) => {
    socket.join(room);
    socket.on("say", (data) => (echo ? io : socket).to(room).emit("say", data));
    done();
  });
});

http.listen(Number(process.argv[2]), "127.0.0.1");
