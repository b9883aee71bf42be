#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <stdexcept>

/// The first of so many free ports in a row, below those that the kernel gives to connections.
inline int free_ports(int count) {
  constexpr int lowest = 20000;
  constexpr int highest = 32000;
  std::random_device random;
  for (int tries = 0; tries < 100; ++tries) {
    const int first = lowest + static_cast<int>(random() % static_cast<unsigned>(highest - lowest - count));
    int free = 0;
    while (free < count) {
      const int handle = ::socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<std::uint16_t>(first + free));
      const bool bound = ::bind(handle, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
      ::close(handle);
      if (!bound) break;
      ++free;
    }
    if (free == count) return first;
  }
  throw std::runtime_error("no free ports in a row");
}

/// A port of 127.0.0.1 that nobody listens on, and that the kernel gives to no connection until a server does.
inline int free_port() { return free_ports(1); }
