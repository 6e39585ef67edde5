#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "training.hpp"

namespace fashion_mnist {

/// What a training depends on, by name: "seed", "curriculum", ... Only trainings that agree in all of it go
/// on from each other's checkpoints.
using training_identity = std::map<std::string, std::string>;

/// A checkpoint that cannot be used because it is broken.
class checkpoint_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A checkpoint of another training.
class foreign_checkpoint : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Format: CBOR (RFC 8949) of {format, version, checksum, content}; content is CBOR again, of the identity,
// the parameters, and training_state. Floats are little-endian byte strings.

/// Writes a training as it stands. Whenever the program or the machine stops, the file's name leads to all of
/// this checkpoint or to all of the one before.
void write_checkpoint(const std::filesystem::path& file, const training_identity& identity,
                      const vector& parameters, const training_state& state);

/// Reads what write_checkpoint wrote, for a network of as many parameters. Throws checkpoint_error or
/// foreign_checkpoint naming the file and what is wrong; `parameters` and `state` are then as before.
void read_checkpoint(const std::filesystem::path& file, const training_identity& identity, vector& parameters,
                     training_state& state);

/// CRC-32 of bytes, to tell whether two arrays are the same: 8 hexadecimal digits.
std::string fingerprint(const void* bytes, std::size_t size);

}  // namespace fashion_mnist
