// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bls12381} from "../../src/libraries/Bls12381.sol";

/// @notice Signing, which only tests do on chain: secrets are scalars, and the multiplication precompiles do the rest.
library Bls {
    /// Order of the groups.
    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    bytes internal constant G1 =
        hex"0000000000000000000000000000000017f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb0000000000000000000000000000000008b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1";
    bytes internal constant G2 =
        hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb80000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";
    /// On the curve with x = 0, but outside the subgroup: G1's curve has a point of order three there.
    bytes internal constant G1_OFF_SUBGROUP =
        hex"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002";

    function publicKey(uint256 secret) internal view returns (bytes memory) {
        return mulG2(G2, secret);
    }

    function sign(uint256 secret, bytes32 message) internal view returns (bytes memory) {
        return sign(secret, Bls12381.SIGNATURE_DST, message);
    }

    function sign(uint256 secret, bytes memory dst, bytes32 message) internal view returns (bytes memory) {
        return mulG1(Bls12381.hashToG1(dst, bytes.concat(message)), secret);
    }

    function mulG1(bytes memory point, uint256 scalar) internal view returns (bytes memory product) {
        bool ok;
        (ok, product) = address(0x0c).staticcall(abi.encodePacked(point, scalar));
        require(ok && product.length == 128, "G1MSM");
    }

    function mulG2(bytes memory point, uint256 scalar) internal view returns (bytes memory product) {
        bool ok;
        (ok, product) = address(0x0e).staticcall(abi.encodePacked(point, scalar));
        require(ok && product.length == 256, "G2MSM");
    }
}
