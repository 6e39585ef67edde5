#include "machine.hpp"

#include <fstream>
#include <thread>

namespace report {

std::string machine_name() {
  std::string name = "unknown processor";
  std::ifstream description("/proc/cpuinfo");
  for (std::string line; std::getline(description, line);) {
    if (!line.starts_with("model name")) continue;
    name = line.substr(line.find(':') + 2);
    break;
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " hardware threads";
}

}  // namespace report
